//! The engine alone against the engine behind the eBPF programs.
//!
//! ```text
//!                          ┌─ engine ────────────────────────────────────────► bytes, way, drop
//!   packets, time, ────────┤                                                        ║ the same
//!   policies, routes       └─ masq_xdp, masq_ingress ─┬─ translated ──────────► bytes, way
//!                             (BPF_PROG_TEST_RUN)     └─ punted ─► engine ─► masq_return ─┘
//! ```
//!
//! Both have a table of their own, the same seed, policy, routes and (virtual) time. Each packet goes
//! to both. What leaves must be the same, byte for byte, and to the same neighbour; so must what is
//! dropped, and why, what the engines send by themselves and what they tell. In the end the tables
//! hold the same sessions, with the same counts and stamps, and each ends at the same time.
//!
//! # Limits
//!
//! - The programs know the real time only, so what they stamp is set to the virtual one afterwards.
//! - Virtual time goes by the ticks of the engine's timers. Between a session's end and the tick at
//!   which it is noticed, the fast path would still carry what the engine would not.
//! - A new policy, or other routes, have reached all sessions before the next packet comes. In between
//!   the fast path goes by what was.
//! - What the programs leave to the host reaches neither engine. It must not be of a session.
//! - Uncut (GSO) packets are not made here.

mod input;
mod pair;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use arbitrary::{Arbitrary, Unstructured};
use masq_flow::Layout;
use masq_lab::Namespace;

use self::input::Input;
use self::pair::{Kernel, Pair};

/// Sends packets through both.
///
/// Without the right to load eBPF programs it does nothing, and says so once.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    static BENCH: OnceLock<Option<Bench>> = OnceLock::new();
    let Some(bench) = BENCH.get_or_init(Bench::set_up) else { return };
    bench.judge(input);
}

/// A thread in a network of its own, where the programs are loaded once.
struct Bench {
    ends: Mutex<(Sender<Input>, Receiver<std::thread::Result<u32>>)>,
}

impl Bench {
    fn set_up() -> Option<Self> {
        if let Some(reason) = masq_lab::unavailable() {
            let required = std::env::var_os("MASQ_REQUIRE_NETNS").is_some();
            assert!(!required, "cannot be skipped here: {reason}");
            tell(&reason);
            return None;
        }
        let (inputs, to_judge) = channel::<Input>();
        let (judged, results) = channel();
        std::thread::spawn(move || {
            let network = Namespace::new().expect("it could be made just now");
            network.run(|| {
                let mut kernel = Kernel::load(Layout::for_sessions(200));
                for input in to_judge {
                    let judge =
                        core::panic::AssertUnwindSafe(|| Pair::new(&mut kernel).judge(&input));
                    let result = std::panic::catch_unwind(judge);
                    if judged.send(result).is_err() {
                        break;
                    }
                }
            });
        });
        Some(Self { ends: Mutex::new((inputs, results)) })
    }

    fn judge(&self, input: Input) -> u32 {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let (inputs, results) = &*ends;
        inputs.send(input).expect("the thread waits for inputs");
        let result = results.recv().expect("the thread answers each");
        drop(ends);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[expect(clippy::print_stderr, reason = "a target that did nothing says why")]
fn tell(reason: &str) {
    eprintln!("skipped: {reason}");
}

#[cfg(test)]
mod tests {
    use super::input::{Shot, Size, Step, What, Whose};
    use super::*;

    #[test]
    fn the_fast_path_has_its_part() {
        let Some(bench) = Bench::set_up() else { return };
        let shot = |whose, xdp| Shot {
            whose,
            what: What::Udp { checksum: true },
            size: Size::Small(8),
            damage: None,
            more_damage: None,
            cut: None,
            padding: None,
            xdp,
        };
        let begin = Whose::New { host: 1, port: 1, remote: 1, remote_port: 1 };
        let mut steps = vec![Step::Packet(shot(begin, false))];
        for xdp in [false, false, true, true] {
            for ingress in [false, true] {
                steps.push(Step::Packet(shot(Whose::Session { pick: 0, ingress }, xdp)));
            }
        }
        // The first of each direction may have to follow the one that began the session.
        let carried = bench.judge(Input { policy: 0, steps });
        assert!((6..=8).contains(&carried), "{carried} of 9");
    }
}
