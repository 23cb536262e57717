//! The scenarios through the kernel's own masquerade, which shows that they are right.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod scenarios;

use masq_lab::{Error, Gateway, Topology};
use scenarios::{Nat, in_lab};

/// The controls: what the capture must find when nobody translates, and that packets flow at all.
mod forwarding {
    use super::*;

    #[test]
    fn inside_addresses_are_found_outside_when_nobody_translates() {
        in_lab("leak_control", &Topology::new(), |lab| {
            let _gateway = Gateway::forwarding(lab)?;
            scenarios::datagrams::echoes(lab, lab.workstation())?;
            let found = lab.outside.check_leaks().unwrap_err();
            assert!(matches!(&found, Error::Leak(packets) if packets.contains("192.168.1.3:")));
            Ok(())
        });
    }

    #[test]
    fn without_a_gateway_nothing_arrives() {
        in_lab("nothing_control", &Topology::new(), |lab| {
            let lost = masq_lab::peer::ping(lab.workstation(), lab.server.address(), &["-c1"])?;
            assert_eq!(lost.received, 0);
            assert_eq!(lab.outside.packets(|packet| packet.incoming).len(), 0);
            Ok(())
        });
    }
}

mod masquerade {
    use super::*;

    scenarios::every_scenario!(Nat::Kernel, true);
}

mod masquerade_without_offloads {
    use super::*;

    scenarios::every_scenario!(Nat::Kernel, false);
}
