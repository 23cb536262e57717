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
        self.tell_settings();
        let Self { carriers, programs, state, links, .. } = self;
        let ports = served(&self.attached, &*self.configuration);
        carriers.follow(clock::now(), mode, (links.links(), &ports), (programs, state));
    }

    /// What carries packets between the interfaces that are served.
    pub(crate) fn ways(&self) -> Vec<Way> {
        self.carriers.ways(&served(&self.attached, &*self.configuration))
    }

    /// Tells the programs what the configuration wants of them.
    fn tell_settings(&mut self) {
        let wanted = settings(&*self.configuration, self.settings.punt_ifindex);
        if wanted == self.settings {
            return;
        }
        match self.programs.set_settings(&wanted) {
            Ok(()) => self.settings = wanted,
            Err(error) => tracing::error!(error = %Chain(&error), "the programs cannot be told"),
        }
    }
}

/// What the programs are told, with the punt port at that interface.
pub(crate) fn settings(configuration: &dyn Configuration, punt_ifindex: u32) -> Settings {
    let mut flags = SettingsFlags::empty();
    flags.set(SettingsFlags::FAST_PATH, configuration.fast_path() != FastPath::Off);
    let limit = configuration.first_packets();
    Settings {
        flags: flags.bits(),
        punt_ifindex,
        miss_rate: limit.map_or(0, |limit| limit.per_second),
        miss_burst: limit.map_or(0, |limit| limit.burst),
        away_after_ns: Settings::AWAY_AFTER_NS,
        reserved: 0,
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
