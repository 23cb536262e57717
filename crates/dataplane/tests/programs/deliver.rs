//! At the second end of the punt port: what goes to the worker's socket.

use masq_flow::maps::EarlyDrop;
use masq_flow::punt::{PuntFlags, PuntHeader, PuntReason};
use zerocopy::IntoBytes;

use crate::in_network;
use crate::rig::Rig;

const XDP_DROP: u32 = 1;

#[test]
fn without_a_worker_everything_ends_here() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.set_worker(false);
        let header = PuntHeader::new(PuntReason::Inside, 3, PuntFlags::empty(), 40, 0);
        let frame = [header.as_bytes(), &[0; 60]].concat();
        let ran = rig.run_xdp("masq_punt_xdp", &frame);
        assert_eq!(ran, (Some(EarlyDrop::NoWorker), XDP_DROP));
    });
}

#[test]
fn frames_that_the_programs_did_not_punt_end_here() {
    in_network(|| {
        let mut rig = Rig::new();
        let header = PuntHeader::new(PuntReason::Inside, 3, PuntFlags::empty(), 40, 0);
        let whole = [header.as_bytes(), &[0; 60]].concat();
        let mut other_version = whole.clone();
        other_version[2] ^= 0xff;
        for (what, frame) in [
            ("a solicitation of the kernel", vec![0x33; 80]),
            ("another version", other_version),
            ("a stump", whole[..15].to_vec()),
        ] {
            let ran = rig.run_xdp("masq_punt_xdp", &frame);
            assert_eq!(ran, (Some(EarlyDrop::Stray), XDP_DROP), "{what}");
        }
    });
}
