//! The programs, loaded, with a gateway's picture of the world in their maps.
//!
//! ```text
//!   192.168.1.3 ─── lan 192.168.1.1   gateway   wan 203.0.113.1 ─── 203.0.113.178
//!                                      198.51.100.1: an address that is masq's alone
//! ```
//!
//! Masq owns TCP and UDP ports 40000 to 49999, ICMP identifiers below 30000, and GRE.

use core::net::Ipv4Addr;
use std::io::ErrorKind;
use std::process::Command;

use aya::maps::{HashMap, PerCpuArray};
use aya::programs::{
    Program, ProgramError, SchedClassifier, TcAttachType, TestRun, TestRunOptions, Xdp, XdpMode,
};
use aya::{Ebpf, EbpfLoader, Pod};
use masq_flow::key::pack_v4;
pub(crate) use masq_flow::maps::Role;
use masq_flow::maps::{
    self, AddressFlags, Counter, EarlyDrop, Interface, InterfaceFlags, Settings, SettingsFlags,
};
use masq_flow::owned::{Owned, Shared};
use masq_flow::punt::{PuntFlags, PuntHeader, PuntReason};
use masq_flow::{
    Flags, Layout, Memory, NextHop, NextHopId, NextHopState, NextHopValue, PerDirection, Region,
    Secret, Session, Slot, Writer,
};
use masq_wire::make::at;
use masq_wire::{Endpoint, Protocol, Tuple};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType};
use zerocopy::{IntoBytes, transmute};

use crate::measure::REPEAT;
use crate::memory::region;

/// The end of the punt port that packets are redirected into. Nothing is: no test run redirects.
const PUNT_PORT: u32 = 99;

pub(crate) const WORKSTATION: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);
pub(crate) const GATEWAY_INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const POOL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 178);

/// The next hops towards workstation and server, and one whose neighbour is being asked for.
pub(crate) const TO_WORKSTATION: NextHopId = NextHopId(7);
pub(crate) const TO_SERVER: NextHopId = NextHopId(8);
pub(crate) const UNRESOLVED: NextHopId = NextHopId(9);

/// An interface of the gateway, and the station at the other end of its cable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
    pub(crate) neighbour: [u8; 6],
    pub(crate) role: Role,
}

impl Port {
    /// A frame from the neighbour.
    pub(crate) fn frame(&self, packet: &[u8]) -> Vec<u8> {
        [&self.mac[..], &self.neighbour, &[8, 0], packet].concat()
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    Dropped(EarlyDrop),
    Passed,
    Punted(PuntReason),
    Returned,
    ReturnedLocal,
    Translated,
}

/// A frame after a program.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) became: Became,
    pub(crate) frame: Vec<u8>,
    pub(crate) mark: u32,
}

/// Programs and maps.
pub(crate) struct Rig {
    ebpf: Ebpf,
    pub(crate) lan: Port,
    pub(crate) wan: Port,
    pub(crate) table: Writer,
    pub(crate) next_hops: Region<NextHop>,
    punt_port: u32,
}

impl Rig {
    /// Makes the interfaces in this thread's network, and loads the programs.
    pub(crate) fn new() -> Self {
        let lan = make_port("lan", 1, Role::Inside);
        let wan = make_port("wan", 2, Role::Outside);
        let layout = Layout::for_sessions(4096);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(maps::RECORDS, layout.slots)
            .map_max_entries(maps::INDEX, layout.buckets)
            .load(OBJECT)
            .unwrap();
        for name in ["masq_ingress", "masq_return"] {
            load(|| classifier(&mut ebpf, name).load());
        }
        for name in ["masq_punt_xdp", "masq_xdp"] {
            load(|| xdp(&mut ebpf, name).load());
        }
        let memory = Memory::new(
            region(&ebpf, maps::HEADER, 1),
            region(&ebpf, maps::INDEX, layout.buckets),
            region(&ebpf, maps::RECORDS, layout.slots),
        );
        let table = Writer::format(memory.unwrap(), Secret::new(77, 99));
        let next_hops = region(&ebpf, maps::NEXT_HOPS, NextHop::COUNT);
        let mut rig = Self { ebpf, lan, wan, table, next_hops, punt_port: PUNT_PORT };
        rig.describe();
        rig
    }

    fn describe(&mut self) {
        let owned: Region<Owned> = region(&self.ebpf, maps::OWNED, 1);
        owned[0].set_ports(Shared::Tcp, 40_000..=49_999, true);
        owned[0].set_ports(Shared::Udp, 40_000..=49_999, true);
        owned[0].set_ports(Shared::Icmp, 0..=29_999, true);
        owned[0].set_protocol(Protocol::GRE, true);
        for (address, flags) in [
            (GATEWAY_INSIDE, AddressFlags::LOCAL),
            (OUTSIDE, AddressFlags::LOCAL | AddressFlags::OUTSIDE_SHARED),
            (POOL, AddressFlags::OUTSIDE_POOL),
            (Ipv4Addr::new(192, 168, 1, 255), AddressFlags::BROADCAST),
        ] {
            self.put(maps::ADDRESSES, pack_v4(address), flags.bits());
        }
        for port in [self.lan, self.wan] {
            self.set_interface(&port, InterfaceFlags::empty());
        }
        for (id, port, state) in [
            (TO_WORKSTATION, self.lan, NextHopState::Ready),
            (TO_SERVER, self.wan, NextHopState::Ready),
            (UNRESOLVED, self.wan, NextHopState::Resolving),
        ] {
            self.next_hops[usize::from(id.0)].store(&next_hop(&port, state));
        }
        self.set(Settings { miss_rate: 0, ..settings() });
    }

    /// Describes an interface to the programs.
    pub(crate) fn set_interface(&mut self, port: &Port, flags: InterfaceFlags) {
        let interface = Interface {
            role: port.role as u32,
            flags: flags.bits(),
            mtu: 1500,
            mac: port.mac,
            reserved: [0; 2],
        };
        let value: [u8; size_of::<Interface>()] = transmute!(interface);
        self.put(maps::INTERFACES, port.index, value);
    }

    /// Tells the programs what to do.
    pub(crate) fn set(&mut self, settings: Settings) {
        let value: [u8; size_of::<Settings>()] = transmute!(settings);
        let map = self.ebpf.map_mut(maps::SETTINGS).unwrap();
        let mut map = aya::maps::Array::<_, [u8; size_of::<Settings>()]>::try_from(map).unwrap();
        map.set(0, value, 0).unwrap();
    }

    /// Enters a session that begins at `inside` and is seen as `outside` by `remote`.
    pub(crate) fn session(&mut self, protocol: Protocol, ends: [&str; 3]) -> Slot {
        let [inside, outside, remote] = ends.map(at);
        self.enter(&self.masquerade(protocol, inside, outside, remote))
    }

    /// A session as the engine makes them.
    pub(crate) fn masquerade(
        &self,
        protocol: Protocol,
        inside: Endpoint,
        outside: Endpoint,
        remote: Endpoint,
    ) -> Session {
        Session {
            original: Tuple::new(protocol, inside, remote),
            reply: Tuple::new(protocol, remote, outside),
            flags: Flags::empty(),
            class: 0,
            state: 0,
            next_hops: PerDirection::new(TO_SERVER, TO_WORKSTATION),
            interfaces: PerDirection::new(self.lan.index, self.wan.index),
            epoch: 0,
            rule_path: 0,
            created: 0,
        }
    }

    pub(crate) fn enter(&mut self, session: &Session) -> Slot {
        self.table.insert(1, session).unwrap()
    }

    /// Has a packet arrive at an interface.
    pub(crate) fn arrive(&mut self, port: Port, packet: &[u8]) -> Outcome {
        self.arrive_frame(Context::at(port), &port.frame(packet))
    }

    /// Has a frame arrive in any circumstances.
    pub(crate) fn arrive_frame(&mut self, context: Context, frame: &[u8]) -> Outcome {
        let outcome = self.run("masq_ingress", context, frame);
        if let Became::Punted(reason) = outcome.became {
            assert_punted_whole(&context, frame, &outcome, reason);
        }
        outcome
    }

    /// Runs a TC program.
    pub(crate) fn run(&mut self, program: &str, context: Context, frame: &[u8]) -> Outcome {
        let before = self.counts();
        let mut out = vec![0; frame.len() + 256];
        let mut context_out = context.bytes();
        let ran = classifier(&mut self.ebpf, program)
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ctx_in: Some(&context.bytes()),
                ctx_out: Some(&mut context_out),
                ..TestRunOptions::default()
            })
            .unwrap();
        out.truncate(ran.data_size_out as usize);
        let became = became(&before, &self.counts());
        let expected = match became {
            Became::Dropped(_) => TC_ACT_SHOT,
            Became::Passed => TC_ACT_UNSPEC,
            Became::Punted(_) | Became::Returned | Became::ReturnedLocal | Became::Translated => {
                TC_ACT_REDIRECT
            }
        };
        assert_eq!(ran.return_value as i32, expected, "{became:?}");
        let mark = context_out[Context::MARK..][..4].try_into().unwrap();
        Outcome { became, frame: out, mark: u32::from_ne_bytes(mark) }
    }

    /// Runs an XDP program; what it counted as dropped, and its verdict.
    pub(crate) fn run_xdp(&mut self, program: &str, frame: &[u8]) -> (Option<EarlyDrop>, u32) {
        let before = self.counts();
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        let ran = xdp(&mut self.ebpf, program).test_run(options).unwrap();
        let after = self.counts();
        let rose = |why: &EarlyDrop| after.drops[*why as usize] != before.drops[*why as usize];
        (EarlyDrop::ALL.into_iter().find(rose), ran.return_value)
    }

    /// Has packets punted into an interface that exists.
    pub(crate) fn punt_into(&mut self, punt_ifindex: u32) {
        self.punt_port = punt_ifindex;
        self.set_fast(false);
    }

    /// Turns the fast path on or off.
    pub(crate) fn set_fast(&mut self, on: bool) {
        let flags = if on { SettingsFlags::FAST_PATH } else { SettingsFlags::empty() };
        let punt_ifindex = self.punt_port;
        self.set(Settings { flags: flags.bits(), punt_ifindex, ..settings() });
    }

    /// Turns the fast path on. `masq_xdp` is attached, since a test run with an interface needs that.
    pub(crate) fn go_fast(&mut self) {
        self.set_fast(true);
        for interface in ["lan", "wan"] {
            xdp(&mut self.ebpf, "masq_xdp").attach(interface, XdpMode::Driver).unwrap();
        }
    }

    /// Has a frame arrive in XDP; the translated frame, or nothing if it is left to TC.
    pub(crate) fn arrive_xdp(&mut self, port: Port, frame: &[u8]) -> Option<Vec<u8>> {
        let before = self.counts();
        let mut out = vec![0; frame.len() + 256];
        // `struct xdp_md`: data, end, metadata, interface, queue, egress.
        let context = [0, frame.len() as u32, 0, port.index, 0, 0];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(context.as_bytes()),
            ..TestRunOptions::default()
        };
        let ran = xdp(&mut self.ebpf, "masq_xdp").test_run(options).unwrap();
        out.truncate(ran.data_size_out as usize);
        let (before, after) = (before.counters, self.counts().counters);
        let translated = Counter::TranslatedXdp as usize;
        let mut expected = before.clone();
        match ran.return_value {
            XDP_PASS => {
                assert_eq!((after, &out[..]), (before, frame), "left to TC as it is");
                None
            }
            XDP_REDIRECT => {
                expected[translated] += 1;
                assert_eq!(after, expected);
                Some(out)
            }
            verdict => panic!("XDP says {verdict}"),
        }
    }

    /// The least that a run of the TC program took on average over [`REPEAT`] runs, in nanoseconds.
    pub(crate) fn time(&mut self, context: Context, frame: &[u8]) -> u128 {
        let context = context.bytes();
        let mut run = || {
            let options = TestRunOptions {
                data_in: Some(frame),
                ctx_in: Some(&context),
                repeat: REPEAT,
                ..TestRunOptions::default()
            };
            classifier(&mut self.ebpf, "masq_ingress").test_run(options).unwrap()
        };
        (0..200).map(|_| run().duration.as_nanos()).min().unwrap()
    }

    /// The same of the XDP program.
    pub(crate) fn time_xdp(&mut self, port: Port, frame: &[u8]) -> u128 {
        let context = [0, frame.len() as u32, 0, port.index, 0, 0];
        let mut run = || {
            let options = TestRunOptions {
                data_in: Some(frame),
                ctx_in: Some(context.as_bytes()),
                repeat: REPEAT,
                ..TestRunOptions::default()
            };
            xdp(&mut self.ebpf, "masq_xdp").test_run(options).unwrap()
        };
        (0..200).map(|_| run().duration.as_nanos()).min().unwrap()
    }

    /// What the verifier and the compiler made of the programs.
    pub(crate) fn sizes(&self) -> Vec<(String, u32, u32)> {
        let size = |(name, program): (&str, &Program)| {
            let info = program.info().unwrap();
            let verified = info.verified_instruction_count().unwrap_or(0);
            (name.to_owned(), verified, info.size_jitted())
        };
        self.ebpf.programs().map(size).collect()
    }

    /// Attaches a TC program for as long as the rig lives.
    pub(crate) fn attach(&mut self, program: &str, interface: &str) {
        let program = classifier(&mut self.ebpf, program);
        program.attach(interface, TcAttachType::Ingress).unwrap();
    }

    /// The number of an interface.
    pub(crate) fn index(&self, interface: &str) -> u32 {
        index(interface)
    }

    /// How often the programs dropped a packet for a reason.
    pub(crate) fn dropped(&self, why: EarlyDrop) -> u64 {
        self.counts().drops[why as usize]
    }

    /// How many packets of which something was made.
    pub(crate) fn counted(&self, what: Counter) -> u64 {
        self.counts().counters[what as usize]
    }

    /// How many packets were punted for a reason.
    pub(crate) fn punted(&self, why: PuntReason) -> u64 {
        self.counts().counters[(Counter::PUNTED + why as u32) as usize]
    }

    fn counts(&self) -> Counts {
        let sums = |name, count| {
            let map = PerCpuArray::<_, u64>::try_from(self.ebpf.map(name).unwrap()).unwrap();
            (0..count).map(|i| map.get(&i, 0).unwrap().iter().sum()).collect()
        };
        Counts {
            counters: sums(maps::COUNTERS, Counter::COUNT),
            drops: sums(maps::DROPS, EarlyDrop::ALL.len() as u32),
        }
    }

    fn put<V: Pod>(&mut self, map: &str, key: u32, value: V) {
        let map = self.ebpf.map_mut(map).unwrap();
        HashMap::<_, u32, V>::try_from(map).unwrap().insert(key, value, 0).unwrap();
    }
}

/// Settings without any limit.
pub(crate) fn settings() -> Settings {
    Settings { flags: 0, punt_ifindex: PUNT_PORT, miss_rate: 0, miss_burst: 0 }
}

/// The circumstances in which a frame arrives: the fields of `struct __sk_buff` that a test may set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) mark: u32,
    pub(crate) ifindex: u32,
    /// The payload of a segment; 0 for a packet that stays whole.
    pub(crate) segment: u32,
    pub(crate) outside: bool,
}

impl Context {
    const LENGTH: usize = 192;
    const MARK: usize = 8;
    const IFINDEX: usize = 40;
    const GSO_SIZE: usize = 176;

    pub(crate) fn at(port: Port) -> Self {
        let outside = port.role == Role::Outside;
        Self { mark: 0, ifindex: port.index, segment: 0, outside }
    }

    fn bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        for (at, value) in
            [(Self::MARK, self.mark), (Self::IFINDEX, self.ifindex), (Self::GSO_SIZE, self.segment)]
        {
            bytes[at..][..4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}

struct Counts {
    counters: Vec<u64>,
    drops: Vec<u64>,
}

/// What became of the one packet between two readings: exactly one counter rose, by one.
fn became(before: &Counts, after: &Counts) -> Became {
    let rose = |before: &[u64], after: &[u64]| -> Vec<(u32, u64)> {
        let pairs = (0..).zip(before.iter().zip(after));
        pairs.map(|(i, (before, after))| (i, after - before)).filter(|(_, by)| *by > 0).collect()
    };
    let counters = rose(&before.counters, &after.counters);
    let drops = rose(&before.drops, &after.drops);
    match (&counters[..], &drops[..]) {
        ([(counter, 1)], []) => match *counter {
            0 => Became::Passed,
            1 => Became::Translated,
            2 => Became::Returned,
            3 => Became::ReturnedLocal,
            punted => Became::Punted(PuntReason::ALL[(punted - Counter::PUNTED) as usize]),
        },
        ([], [(why, 1)]) => Became::Dropped(EarlyDrop::ALL[*why as usize]),
        _ => panic!("counters {counters:?} and drops {drops:?} rose"),
    }
}

/// A punted frame is a header that tells all about it, and the frame as it was.
fn assert_punted_whole(context: &Context, frame: &[u8], outcome: &Outcome, reason: PuntReason) {
    let mut flags = PuntFlags::empty();
    flags.set(PuntFlags::OUTSIDE, context.outside);
    let length = if context.segment == 0 { frame.len() as u16 - 14 } else { 0 };
    let header = PuntHeader::new(reason, context.ifindex, flags, length, context.mark);
    let expected = [header.as_bytes(), frame].concat();
    assert_eq!(outcome.frame, expected);
}

pub(crate) fn next_hop(port: &Port, state: NextHopState) -> NextHopValue {
    NextHopValue {
        state,
        ifindex: port.index,
        mtu: 1500,
        xdp: true,
        destination: port.neighbour,
        source: port.mac,
        ..NextHopValue::default()
    }
}

fn make_port(name: &'static str, number: u8, role: Role) -> Port {
    let [mac, neighbour] = [1, 2].map(|end| [2, 0, 0, 0, number, end]);
    let text = mac.map(|byte| format!("{byte:02x}")).join(":");
    ip(&format!("link add {name} address {text} type veth peer name {name}-far"));
    ip(&format!("link set {name} up"));
    ip(&format!("link set {name}-far up"));
    Port { index: index(name), mac, neighbour, role }
}

fn index(name: &str) -> u32 {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    name_to_index(&socket, name).unwrap()
}

/// Runs `ip` in this thread's network.
pub(crate) fn ip(arguments: &str) {
    run(&format!("ip {arguments}"));
}

/// Runs a program in this thread's network.
pub(crate) fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

pub(crate) fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    ebpf.program_mut(name).unwrap().try_into().unwrap()
}

pub(crate) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    ebpf.program_mut(name).unwrap().try_into().unwrap()
}

/// Loads a program. The verifier gives up when a signal comes in between, and wants to be asked again.
fn load(mut load: impl FnMut() -> Result<(), ProgramError>) {
    let interrupted = |error: &ProgramError| {
        matches!(error, ProgramError::LoadError { io_error, .. }
            if io_error.kind() == ErrorKind::WouldBlock)
    };
    let mut tries = (0..10).map(|_| load());
    tries.find(|loaded| !loaded.as_ref().is_err_and(interrupted)).unwrap().unwrap();
}

const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
const TC_ACT_REDIRECT: i32 = 7;
const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;

/// The object that the library embeds.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("MASQ_EBPF_OBJECT_PATH"));
