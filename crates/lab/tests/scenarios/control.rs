//! The controls: what the capture finds when nobody translates, and that nothing gets past a gateway
//! that does nothing.

use masq_lab::{Error, Gateway, Topology, peer};

use super::{datagrams, in_lab};

#[test]
fn inside_addresses_are_found_outside_when_nobody_translates() {
    in_lab("leak_control", &Topology::new(), |lab| {
        let _gateway = Gateway::forwarding(lab)?;
        datagrams::echoes(lab, lab.workstation())?;
        let found = lab.outside.check_leaks().unwrap_err();
        assert!(matches!(&found, Error::Leak(packets) if packets.contains("192.168.1.3:")));
        Ok(())
    });
}

#[test]
fn without_a_gateway_nothing_arrives() {
    in_lab("nothing_control", &Topology::new(), |lab| {
        let lost = peer::ping(lab.workstation(), lab.server.address(), &["-c1"])?;
        assert_eq!(lost.received, 0);
        assert_eq!(lab.outside.packets(|packet| packet.incoming).len(), 0);
        Ok(())
    });
}
