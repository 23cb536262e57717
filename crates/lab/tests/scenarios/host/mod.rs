//! The gateway's host comes first: nothing that worked on it before a translator stood beside it may stop
//! working, whoever is up, away or gone.
//!
//! Each scenario is played like all others, through the kernel's masquerade and through the program under test.
//! What the gateway itself sends and gets is compared with what it would have without either.

mod between;
mod containers;
mod equal;
mod multicast;
mod portless;
mod renamed;
mod rows;
mod states;
mod steps;

pub(crate) use between::{
    a_network_that_is_not_served_is_reached_both_ways, insides_lose_nothing_at_speed,
    insides_speak_to_each_other,
};
pub(crate) use containers::containers_call_out_and_their_ports_are_published;
pub(crate) use equal::{
    a_ping_of_the_host_is_answered_to_it, a_tcp_port_that_the_host_takes_is_its_own,
    a_tunnel_of_the_host_keeps_its_packets, a_udp_port_that_the_host_takes_is_its_own,
};
pub(crate) use multicast::multicast_of_an_inside_source_leaves;
pub(crate) use renamed::{
    an_inside_interface_may_appear_under_traffic, an_inside_that_is_renamed_shows_nothing,
    an_outside_that_is_renamed_resets_nothing, insides_may_exchange_their_names,
};
pub(crate) use states::the_host_needs_nobody;

/// One test for each scenario, with this gateway, with or without offloads.
macro_rules! every_host_scenario {
    ($nat:expr, $offloads:expr) => {
        $crate::tests! { $nat, $offloads,
            host::the_host_needs_nobody,
            host::a_tunnel_of_the_host_keeps_its_packets,
            host::a_ping_of_the_host_is_answered_to_it,
            host::a_udp_port_that_the_host_takes_is_its_own,
            host::a_tcp_port_that_the_host_takes_is_its_own,
            host::insides_speak_to_each_other,
            host::insides_lose_nothing_at_speed,
            host::a_network_that_is_not_served_is_reached_both_ways,
            host::containers_call_out_and_their_ports_are_published,
            host::an_inside_that_is_renamed_shows_nothing,
            host::insides_may_exchange_their_names,
            host::an_outside_that_is_renamed_resets_nothing,
            host::an_inside_interface_may_appear_under_traffic,
            host::multicast_of_an_inside_source_leaves,
        }
    };
}

use every_host_scenario;

mod masquerade {
    super::every_host_scenario!(crate::Nat::Kernel, true);
}

mod masquerade_without_offloads {
    super::every_host_scenario!(crate::Nat::Kernel, false);
}

mod masq {
    super::every_host_scenario!(crate::Nat::Masq, true);
}

mod masq_without_offloads {
    super::every_host_scenario!(crate::Nat::Masq, false);
}

mod masq_on_tc {
    super::every_host_scenario!(crate::Nat::MasqOnTc, true);
}

mod masq_on_tc_without_offloads {
    super::every_host_scenario!(crate::Nat::MasqOnTc, false);
}

mod masq_on_xdp {
    super::every_host_scenario!(crate::Nat::MasqOnXdp, true);
}
