//! The control thread's part: when to choose anew, and what the others are told.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;

use masq_flow::maps::{Settings, SettingsFlags};

use super::{FastPath, Way};
use crate::clock;
use crate::control::{Chain, Control};
use crate::worker::Command;

impl Control {
    /// Chooses what carries established sessions, and has it carry them.
    pub(crate) fn choose_carriers(&mut self) {
        let mode = self.configuration.fast_path();
        self.switch_fast_path(mode != FastPath::Off);
        let Self { carriers, programs, state, worker, attached, links, .. } = self;
        let all = links.links();
        let served: Vec<_> = attached.keys().filter_map(|index| all.get(*index)).collect();
        let tell = |links: BTreeSet<u32>, wait: bool| {
            let (sender, known) = channel();
            worker.send(Command::Redirects(links, sender));
            if wait {
                // A worker that has ended writes no next hops any more.
                let _ = known.recv();
            }
        };
        carriers.follow(clock::now(), mode, (all, &served), (programs, state), tell);
    }

    /// What carries packets between the interfaces that are served.
    pub(crate) fn ways(&self) -> Vec<Way> {
        let side = |name: &str| self.configuration.side(name);
        let ports = self
            .attached
            .iter()
            .filter_map(|(index, (name, _))| Some((*index, name.as_str(), side(name)?)));
        self.carriers.ways(&ports.collect::<Vec<_>>())
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
