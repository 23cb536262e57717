//! The programs, loaded, with a gateway's picture of the world in their maps, for tests that hand them
//! one frame after the other (`BPF_PROG_TEST_RUN`).
//!
//! ```text
//!   192.168.1.3 ─── lan 192.168.1.1   gateway   wan 203.0.113.1 ─── 203.0.113.178
//!                                      198.51.100.1: an address that is masq's alone
//! ```
//!
//! Masq owns TCP and UDP ports 40000 to 49999, ICMP identifiers below 30000, and GRE. A worker is there.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod outcome;
mod place;

use core::net::Ipv4Addr;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, DevMapHash, HashMap, Map, MapData, PerCpuArray, XskMap};
use aya::programs::{
    Program, ProgramError, SchedClassifier, TcAttachType, TestRun, TestRunOptions, Xdp, XdpMode, tc,
};
use aya::{Ebpf, EbpfLoader, Pod};
use masq_flow::key::pack_v4;
use masq_flow::maps::{
    self, AddressFlags, Counter, EarlyDrop, HostFlow, Interface, InterfaceFlags, Settings,
    SettingsFlags,
};
use masq_flow::owned::{Owned, Shared};
use masq_flow::punt::PuntReason;
use masq_flow::{Layout, Memory, NextHop, NextHopState, Record, Region};
use masq_wire::Protocol;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use zerocopy::{FromBytes, IntoBytes, transmute};

pub use self::outcome::{Became, Context, Outcome, Ran};
use self::outcome::{Counts, assert_punted_whole, became};
use self::place::PUNT_PORT;
pub use self::place::{
    GATEWAY_INSIDE, OUTSIDE, POOL, Port, Role, SERVER, TO_SERVER, TO_WORKSTATION, UNRESOLVED,
    WORKSTATION, index, ip, next_hop, run, settings,
};
use crate::attach::{Interfaces, has_tcx};
use crate::sys;

/// Programs and maps. The flow table's memory is not formatted; who uses it owns it.
#[derive(Debug)]
pub struct Rig {
    ebpf: Ebpf,
    /// The inside interface.
    pub lan: Port,
    /// The outside interface.
    pub wan: Port,
    /// The flow table.
    pub memory: Memory,
    /// The next hops.
    pub next_hops: Region<NextHop>,
    /// Which ports are masq's.
    pub owned: Region<Owned>,
    layout: Layout,
    punt_port: u32,
    /// What the programs take for a worker's socket.
    worker: Option<OwnedFd>,
}

impl Rig {
    /// Makes the interfaces in this thread's network, and loads the programs with a table of a size.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        let lan = Port::make("lan", 1, Role::Inside);
        let wan = Port::make("wan", 2, Role::Outside);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(maps::RECORDS, layout.slots)
            .map_max_entries(maps::INDEX, layout.buckets)
            .load(OBJECT)
            .unwrap();
        for name in ["masq_egress", "masq_ingress", "masq_return"] {
            load(|| classifier(&mut ebpf, name).load());
        }
        for name in ["masq_bulk_xdp", "masq_punt_xdp", "masq_xdp"] {
            load(|| xdp(&mut ebpf, name).load());
        }
        let memory = Memory::new(
            region(&ebpf, maps::HEADER, 1),
            region(&ebpf, maps::INDEX, layout.buckets),
            region(&ebpf, maps::RECORDS, layout.slots),
        );
        let memory = memory.unwrap();
        let next_hops = region(&ebpf, maps::NEXT_HOPS, NextHop::COUNT);
        let owned = region(&ebpf, maps::OWNED, 1);
        let punt_port = PUNT_PORT;
        let mut rig =
            Self { ebpf, lan, wan, memory, next_hops, owned, layout, punt_port, worker: None };
        rig.describe();
        rig.set_worker(true);
        rig
    }

    fn describe(&mut self) {
        let owned = &self.owned;
        owned[0].set_ports(Shared::Tcp, 40_000..=49_999, true);
        owned[0].set_ports(Shared::Udp, 40_000..=49_999, true);
        owned[0].set_ports(Shared::Icmp, 0..=29_999, true);
        owned[0].set_protocol(Protocol::GRE, true);
        for (address, flags) in [
            (GATEWAY_INSIDE, AddressFlags::LOCAL),
            (OUTSIDE, AddressFlags::LOCAL | AddressFlags::OUTSIDE_SHARED),
            (POOL, AddressFlags::OUTSIDE_POOL),
            (BROADCAST, AddressFlags::BROADCAST),
        ] {
            self.put(maps::ADDRESSES, pack_v4(address), flags.bits());
        }
        for port in [self.lan, self.wan] {
            self.set_interface(&port, InterfaceFlags::empty());
            self.set_known(port.index);
        }
        self.set_network(WORKSTATION, 24, self.lan.index);
        for (id, port, state) in [
            (TO_WORKSTATION, self.lan, NextHopState::Ready),
            (TO_SERVER, self.wan, NextHopState::Ready),
            (UNRESOLVED, self.wan, NextHopState::Resolving),
        ] {
            self.next_hops[usize::from(id.0)].store(&next_hop(&port, state));
        }
        self.set(Settings { miss_rate: 0, ..settings() });
    }

    /// The records, for a test that says when a packet was seen: the programs know the real time only.
    #[must_use]
    pub fn records(&self) -> Region<Record> {
        region(&self.ebpf, maps::RECORDS, self.layout.slots)
    }

    /// How large the table is.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Has a worker at the punt port, or none: its socket is gone then, as when it ends.
    pub fn set_worker(&mut self, there: bool) {
        let mut sockets = XskMap::try_from(self.ebpf.map_mut(maps::XSKS).unwrap()).unwrap();
        if there {
            let socket =
                socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None);
            let socket = self.worker.insert(socket.unwrap());
            sockets.set(0, socket.as_raw_fd(), 0).unwrap();
        } else {
            // The kernel does so when the socket is closed, which a program that another test starts in
            // this moment may put off.
            sockets.unset(0).unwrap();
            self.worker = None;
        }
    }

    /// Says that a network is inside, behind a port.
    pub fn set_network(&mut self, address: Ipv4Addr, length: u32, port: u32) {
        let map = self.ebpf.map_mut(maps::NETWORKS).unwrap();
        let mut networks = LpmTrie::<_, u32, u32>::try_from(map).unwrap();
        networks.insert(&Key::new(length, pack_v4(address)), port, 0).unwrap();
    }

    /// Says that the daemon has looked at an interface.
    pub fn set_known(&mut self, index: u32) {
        self.put(maps::KNOWN, index, 0_u32);
    }

    /// The flows of the host that the programs have noted.
    #[must_use]
    pub fn host_flows(&self) -> Vec<HostFlow> {
        let map = self.ebpf.map(maps::HOST_FLOWS).unwrap();
        let map = HashMap::<&MapData, [u32; 4], u64>::try_from(map).unwrap();
        map.keys().map(|key| transmute!(key.unwrap())).collect()
    }

    /// Forgets them, and every hint.
    pub fn forget_host_flows(&mut self) {
        let keys = self.host_flows();
        let map = self.ebpf.map_mut(maps::HOST_FLOWS).unwrap();
        let mut map = HashMap::<_, [u32; 4], u64>::try_from(map).unwrap();
        keys.iter().for_each(|key| map.remove(&transmute!(*key)).unwrap());
        self.owned[0].set_hints([]);
        self.memory.header().set_host_flows(false);
    }

    /// Has a packet leave by an interface; whether it does, and with which mark.
    pub fn leave(&mut self, context: Context, frame: &[u8]) -> (Option<EarlyDrop>, u32) {
        let before = self.counts();
        let ran = self.run_bare("masq_egress", context, frame);
        let after = self.counts();
        let rose = |why: &EarlyDrop| after.drops[*why as usize] != before.drops[*why as usize];
        let dropped = EarlyDrop::ALL.into_iter().find(rose);
        let expected = if dropped.is_some() { TC_ACT_SHOT } else { TC_ACT_UNSPEC };
        assert_eq!((ran.action, &ran.frame[..]), (expected, frame), "{dropped:?}");
        (dropped, ran.mark)
    }

    /// Describes an interface to the programs.
    pub fn set_interface(&mut self, port: &Port, flags: InterfaceFlags) {
        let interface = Interface {
            index: port.index,
            role: port.role as u32,
            flags: flags.bits(),
            mtu: 1500,
            mac: port.mac,
            reserved: [0; 2],
        };
        let map = self.ebpf.map_mut(maps::INTERFACES).unwrap();
        let mut served = Interfaces::new(Array::try_from(map).unwrap());
        assert!(served.enter(&interface).unwrap());
    }

    /// Tells the programs what to do.
    pub fn set(&mut self, settings: Settings) {
        let value: [u8; size_of::<Settings>()] = transmute!(settings);
        let map = self.ebpf.map_mut(maps::SETTINGS).unwrap();
        let mut map = Array::<_, [u8; size_of::<Settings>()]>::try_from(map).unwrap();
        map.set(0, value, 0).unwrap();
    }

    /// Has a packet arrive at an interface.
    pub fn arrive(&mut self, port: Port, packet: &[u8]) -> Outcome {
        self.arrive_frame(Context::at(port), &port.frame(packet))
    }

    /// Has a frame arrive in any circumstances.
    pub fn arrive_frame(&mut self, context: Context, frame: &[u8]) -> Outcome {
        let outcome = self.run("masq_ingress", context, frame);
        if let Became::Punted(reason) = outcome.became {
            assert_punted_whole(&context, frame, &outcome, reason);
        }
        outcome
    }

    /// Runs a TC program, and sees by the counters what it did.
    pub fn run(&mut self, program: &str, context: Context, frame: &[u8]) -> Outcome {
        let before = self.counts();
        let Ran { action, frame, mark } = self.run_bare(program, context, frame);
        let became = became(&before, &self.counts());
        let expected = match became {
            Became::Dropped(_) => TC_ACT_SHOT,
            Became::Passed => TC_ACT_UNSPEC,
            Became::Forwarded
            | Became::Punted(_)
            | Became::Returned
            | Became::ReturnedLocal
            | Became::Translated => TC_ACT_REDIRECT,
        };
        assert_eq!(action, expected, "{became:?}");
        Outcome { became, frame, mark }
    }

    /// Runs a TC program, without a look at the counters, which takes many times as long.
    pub fn run_bare(&mut self, program: &str, context: Context, frame: &[u8]) -> Ran {
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
        let mark = context_out[Context::MARK..][..4].try_into().unwrap();
        Ran { action: ran.return_value as i32, frame: out, mark: u32::from_ne_bytes(mark) }
    }

    /// Runs an XDP program; what it counted as dropped, and its verdict.
    pub fn run_xdp(&mut self, program: &str, frame: &[u8]) -> (Option<EarlyDrop>, u32) {
        let before = self.counts();
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        let ran = xdp(&mut self.ebpf, program).test_run(options).unwrap();
        let after = self.counts();
        let rose = |why: &EarlyDrop| after.drops[*why as usize] != before.drops[*why as usize];
        (EarlyDrop::ALL.into_iter().find(rose), ran.return_value)
    }

    /// Has packets punted into an interface that exists.
    pub fn punt_into(&mut self, punt_ifindex: u32) {
        self.punt_port = punt_ifindex;
        self.set_fast(false);
    }

    /// Turns the fast path on or off.
    pub fn set_fast(&mut self, on: bool) {
        self.memory.header().clock.set_tick(crate::clock::tick_ns());
        let taking: &[u32] = if on { &[self.lan.index, self.wan.index] } else { &[] };
        self.set_redirects(taking);
        let flags = if on { SettingsFlags::FAST_PATH } else { SettingsFlags::empty() };
        let punt_ifindex = self.punt_port;
        self.set(Settings { flags: flags.bits(), punt_ifindex, ..settings() });
    }

    /// Says which interfaces take what XDP redirects to them.
    pub fn set_redirects(&mut self, taking: &[u32]) {
        let mut devices = DevMapHash::try_from(self.ebpf.map_mut(maps::DEVICES).unwrap()).unwrap();
        for index in [self.lan.index, self.wan.index] {
            if taking.contains(&index) {
                devices.insert(index, index, None, 0).unwrap();
            } else {
                let _ = devices.remove(index);
            }
        }
    }

    /// Turns the fast path on. `masq_xdp` is attached, since a test run with an interface needs that.
    pub fn go_fast(&mut self) {
        self.set_fast(true);
        for interface in ["lan", "wan"] {
            xdp(&mut self.ebpf, "masq_xdp").attach(interface, XdpMode::Driver).unwrap();
        }
    }

    /// Has a frame arrive in XDP; the translated frame, or nothing if it is left to TC.
    pub fn arrive_xdp(&mut self, port: Port, frame: &[u8]) -> Option<Vec<u8>> {
        let mut expected = self.counts();
        let carried = self.run_xdp_bare(port, frame);
        if carried.is_some() {
            expected.counters[Counter::TranslatedXdp as usize] += 1;
        }
        assert!(self.counts() == expected, "XDP counts what it carries, and nothing else");
        carried
    }

    /// The same without a look at the counters.
    pub fn run_xdp_bare(&mut self, port: Port, frame: &[u8]) -> Option<Vec<u8>> {
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
        match ran.return_value {
            XDP_PASS => {
                assert_eq!(&out[..], frame, "left to TC as it is");
                None
            }
            XDP_REDIRECT => Some(out),
            verdict => panic!("XDP says {verdict}"),
        }
    }

    /// The least that a run of the TC program took on average over so many, in nanoseconds.
    pub fn time(&mut self, context: Context, frame: &[u8], repeat: u32) -> u128 {
        let context = context.bytes();
        let mut run = || {
            let options = TestRunOptions {
                data_in: Some(frame),
                ctx_in: Some(&context),
                repeat,
                ..TestRunOptions::default()
            };
            classifier(&mut self.ebpf, "masq_ingress").test_run(options).unwrap()
        };
        (0..200).map(|_| run().duration.as_nanos()).min().unwrap()
    }

    /// The same of the XDP program.
    pub fn time_xdp(&mut self, port: Port, frame: &[u8], repeat: u32) -> u128 {
        let context = [0, frame.len() as u32, 0, port.index, 0, 0];
        let mut run = || {
            let options = TestRunOptions {
                data_in: Some(frame),
                ctx_in: Some(context.as_bytes()),
                repeat,
                ..TestRunOptions::default()
            };
            xdp(&mut self.ebpf, "masq_xdp").test_run(options).unwrap()
        };
        (0..200).map(|_| run().duration.as_nanos()).min().unwrap()
    }

    /// What the verifier and the compiler made of the programs.
    pub fn sizes(&self) -> Vec<(String, u32, u32)> {
        let size = |(name, program): (&str, &Program)| {
            let info = program.info().unwrap();
            let verified = info.verified_instruction_count().unwrap_or(0);
            (name.to_owned(), verified, info.size_jitted())
        };
        self.ebpf.programs().map(size).collect()
    }

    /// Attaches a TC program for as long as the rig lives.
    pub fn attach(&mut self, program: &str, interface: &str) {
        if !has_tcx() {
            // It may be there already; if not, attaching fails for the same reason.
            let _ = tc::qdisc_add_clsact(interface);
        }
        let program = classifier(&mut self.ebpf, program);
        program.attach(interface, TcAttachType::Ingress).unwrap();
    }

    /// How often the programs dropped a packet for a reason.
    pub fn dropped(&self, why: EarlyDrop) -> u64 {
        self.counts().drops[why as usize]
    }

    /// How many packets of which something was made.
    pub fn counted(&self, what: Counter) -> u64 {
        self.counts().counters[what as usize]
    }

    /// How many packets were punted for a reason.
    pub fn punted(&self, why: PuntReason) -> u64 {
        self.counts().counters[(Counter::PUNTED + why as u32) as usize]
    }

    fn counts(&self) -> Counts {
        let sums = |name, count| {
            let map = PerCpuArray::<_, u64>::try_from(self.ebpf.map(name).unwrap()).unwrap();
            (0..count).map(|i| map.get(&i, 0).unwrap().iter().sum()).collect()
        };
        Counts {
            counters: sums(maps::COUNTERS, Counter::COUNT),
            drops: sums(maps::DROPS, EarlyDrop::COUNT),
        }
    }

    fn put<V: Pod>(&mut self, map: &str, key: u32, value: V) {
        let map = self.ebpf.map_mut(map).unwrap();
        HashMap::<_, u32, V>::try_from(map).unwrap().insert(key, value, 0).unwrap();
    }
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    ebpf.program_mut(name).unwrap().try_into().unwrap()
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    ebpf.program_mut(name).unwrap().try_into().unwrap()
}

/// The values of an mmapable array.
fn region<T: FromBytes + Sync>(ebpf: &Ebpf, name: &str, length: u32) -> Region<T> {
    let Some(Map::Array(array)) = ebpf.map(name) else { panic!("no array {name}") };
    sys::maps::region(array.fd().as_fd(), length as usize).unwrap()
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

/// The packet goes on to whoever is next.
pub const TC_ACT_UNSPEC: i32 = -1;
/// The packet ends.
pub const TC_ACT_SHOT: i32 = 2;
/// The packet goes to another interface.
pub const TC_ACT_REDIRECT: i32 = 7;
const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;

/// Everybody on the inside.
const BROADCAST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 255);

/// The object that the library embeds.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("MASQ_EBPF_OBJECT_PATH"));
