//! The control thread's part: when to choose anew, and what the others are told.

use std::collections::BTreeMap;

use masq_flow::maps::{Settings, SettingsFlags};

use super::{FastPath, Served, Way};
use crate::clock;
use crate::control::{Chain, Control};
use crate::interfaces::Attached;
use crate::options::Configuration;

impl Control {
    /// Chooses what carries established sessions, and has it carry them.
    pub(crate) fn choose_carriers(&mut self) {
        let mode = self.configuration.fast_path();
        self.switch_fast_path(mode != FastPath::Off);
        let Self { carriers, programs, state, links, .. } = self;
        let ports = served(&self.attached, &*self.configuration);
        carriers.follow(clock::now(), mode, (links.links(), &ports), (programs, state));
    }

    /// What carries packets between the interfaces that are served.
    pub(crate) fn ways(&self) -> Vec<Way> {
        self.carriers.ways(&served(&self.attached, &*self.configuration))
    }

    /// Switches the fast path on or off as a whole.
    fn switch_fast_path(&mut self, on: bool) {
        let mut flags = SettingsFlags::from_bits_retain(self.settings.flags);
        if flags.contains(SettingsFlags::FAST_PATH) == on {
            return;
        }
        flags.set(SettingsFlags::FAST_PATH, on);
        let settings = Settings { flags: flags.bits(), ..self.settings };
        match self.programs.set_settings(&settings) {
            Ok(()) => self.settings = settings,
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the fast path cannot be switched");
            }
        }
    }
}

/// The interfaces that are served.
fn served<'a>(
    attached: &'a BTreeMap<u32, Attached>,
    configuration: &dyn Configuration,
) -> Vec<Served<'a>> {
    let served = |(index, attached): (&u32, &'a Attached)| {
        let (name, closed) = (&attached.name, attached.is_closed());
        let side = configuration.side(name).filter(|_| !closed)?;
        Some(Served { index: *index, name, side })
    };
    attached.iter().filter_map(served).collect()
}
