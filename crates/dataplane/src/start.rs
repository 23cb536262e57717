//! Starting: one step after the other, and all of them back if one fails.
//!
//! What a failed start may leave behind is judged by comparison: before the first change, what the
//! instance has is noted, and after a failure whatever is there beyond that is removed. So a start
//! that fails beside a predecessor's remains leaves those as they were, and one that fails on a
//! fresh machine leaves nothing.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::mpsc::sync_channel;

use masq_core::{Engine, HostPort, Policy};
use masq_flow::maps::{AddressFlags, HOST_FLOWS};
use masq_flow::{NextHop, NextHopId, NextHopState, NextHopValue, Reader, Secret};
use rustix::thread::CapabilitySet;

use crate::attach::{AttachError, Pins, Programs, SharedMemory};
use crate::away::Remembered;
use crate::beside::Beside;
use crate::claims::Claims;
use crate::control::{Chain, Control, missing, names, surroundings, unusable};
use crate::error::StartError;
use crate::fast_path::{Carriers, Surveyor, settings};
use crate::handle::Handle;
use crate::host_flows::HostFlows;
use crate::instance::{self, Instance};
use crate::namespaces::Namespace;
use crate::netlink::{Netlink, Watch, create_pair};
use crate::options::{Configuration, Options, Surroundings};
use crate::punt::{PACKET_MAX, PuntPort};
use crate::routes::{Link, Mirror, Router};
use crate::sockets::Asker;
use crate::state::State;
use crate::sys::ethtool::{self, Feature};
use crate::wake::waking_channel;
use crate::worker::{Ends, Sockets, Worker};
use crate::{bpffs, clock, inherit, sockets, sys, sysctl};

/// Starts a gateway in the network namespace of the calling thread.
///
/// # Errors
///
/// Says what is in the way, and leaves nothing behind that was not there before.
pub fn start(
    options: Options,
    configuration: Box<dyn Configuration>,
) -> Result<Handle, StartError> {
    let instance = Instance::new(&options.run, &options.instance)?;
    check_permission()?;
    let places = instance.places();
    let had_lock = instance.has_lock();
    let lock = instance.lock()?;
    let before = instance.note();
    match (Start { options, instance: instance.clone() }).run(configuration) {
        Ok(handle) => Ok(handle.with_lock(lock)),
        Err(error) => {
            for problem in instance.remove_beyond(&before) {
                tracing::warn!(error = %Chain(&problem), "cannot clean up after a failed start");
            }
            if !had_lock {
                instance.remove_lock();
            }
            instance.remove_places_beyond(&places);
            instance::unlock(&lock);
            Err(plainly(error))
        }
    }
}

struct Start {
    options: Options,
    instance: Instance,
}

impl Start {
    fn run(self, configuration: Box<dyn Configuration>) -> Result<Handle, StartError> {
        let mut netlink = Netlink::open()?;
        let watch = Watch::open()?;
        let mut mirror = netlink.picture()?;
        let ports = self.check_interfaces(&*configuration, &mirror)?;
        let state = self.enter_namespace()?;
        let bpffs = self.instance.bpffs();
        bpffs::ensure(&bpffs)?;
        let pins = Pins::create(&bpffs, &self.options.instance)?;
        let mut programs =
            Programs::load(pins.clone(), self.options.layout, self.options.attachment)?;
        let claims = Claims::new(&self.options.run, &self.options.instance, state.namespace());
        Self::check_claims(&claims, &programs, &ports)?;

        let own = self.make_pair(&mut netlink, &mut mirror)?;
        let memory = programs.memory()?;
        let port = self.open_punt_port(&mut programs, &memory, own)?;
        let [near, _] = own;
        let settings = settings(&*configuration, near);
        programs.set_settings(&settings)?;

        let mut surroundings = surroundings(&*configuration, &mirror, own);
        let mut remembered = Remembered::default();
        remembered.complete(&mut surroundings);
        let policy = configuration.policy(&surroundings);
        let beside = Beside::open(clock::now());
        let mut sockets = sockets::in_use().unwrap_or_default();
        sockets.extend(beside.ports());
        let engine = self.make_engine(&memory, policy.clone(), &sockets)?;
        let readers = (Reader::new(memory.table.clone())?, engine.table().totals());
        let router = adopt_next_hops(Router::new(mirror.clone(), memory.next_hops.len()), &memory);

        let (commands, for_worker) = waking_channel().map_err(channel())?;
        let (wishes, from_worker) = waking_channel().map_err(channel())?;
        let (orders, from_handle) = waking_channel().map_err(channel())?;
        let (events, for_watchers) = sync_channel(EVENTS);
        let ends = Ends { commands: for_worker, wishes, events };
        let asker = Asker::open().map_err(StartError::system("ask for the host's sockets"))?;
        let host_sockets = Sockets { ports: sockets.clone(), asker };

        let host_flows = || {
            let (table, owned) = (memory.table.clone(), memory.owned.clone());
            HostFlows::open(&pins.map(HOST_FLOWS), table, owned)
                .map_err(|source| AttachError::Map { map: HOST_FLOWS, source: Some(source) })
        };
        let router = router.with_host_flows(host_flows()?);
        let (interfaces, addresses) = programs.entered();
        let (known, networks) = (programs.entered_known(), programs.entered_networks());
        let mut control = Control {
            configuration,
            programs,
            claims,
            state,
            netlink,
            watch,
            worker: commands.clone(),
            wishes: from_worker,
            orders: from_handle,
            links: mirror,
            own,
            attached: Default::default(),
            known: known.into_iter().collect(),
            networks: networks.into_iter().map(|network| (network, 0)).collect(),
            host_flows: host_flows()?,
            // Whatever was entered before is not what is wanted, so it is entered anew or removed.
            addresses: addresses.into_iter().map(|ip| (ip, AddressFlags::empty())).collect(),
            remembered,
            policy,
            sockets,
            settings,
            carriers: Carriers::new(Surveyor::new(pins)),
            beside,
        };
        control.enter_addresses(&control.policy.clone())?;
        control.enter_networks(&control.policy.clone())?;
        control.reserve_ports(&surroundings);
        // The first round is a moment away.
        memory.table.header().set_beat(clock::now().as_nanos());
        let worker = Worker::new(engine, router, port, memory, host_sockets, ends);

        // From here on packets are taken; everything that could fail before that has been done.
        let wanted = |index| surroundings.ports.iter().any(|port| port.id.0 == index && !port.away);
        control.take_over(interfaces.into_iter().filter(|one| !wanted(one.index)));
        if let Some(error) = control.attach(&surroundings).into_iter().next() {
            return Err(error.into());
        }
        control.tell_beside();
        Handle::new(worker, control, orders, commands, for_watchers, readers)
    }

    fn check_interfaces(
        &self,
        configuration: &dyn Configuration,
        mirror: &Mirror,
    ) -> Result<Surroundings, StartError> {
        if let Some(interface) = missing(configuration, mirror) {
            return Err(StartError::UnknownInterface { interface, known: names(mirror) });
        }
        let pair = self.instance.pair();
        let own = |link: &Link| link.name == pair.near || link.name == pair.far;
        if let Some(interface) = unusable(configuration, mirror, own) {
            return Err(StartError::Unusable { interface });
        }
        let surroundings = surroundings(configuration, mirror, [0; 2]);
        for port in &surroundings.ports {
            if port.mtu > PACKET_MAX {
                let (interface, mtu) = (port.name.clone(), port.mtu);
                return Err(StartError::Mtu { interface, mtu, most: PACKET_MAX });
            }
        }
        Ok(surroundings)
    }

    /// Makes sure that the instance belongs to this network namespace, and notes that it does.
    fn enter_namespace(&self) -> Result<State, StartError> {
        let namespace =
            sys::namespace::cookie().map_err(StartError::system("tell the network namespace"))?;
        let path = self.instance.state_path();
        let failed = |source| StartError::File { path: path.clone(), source };
        let mut state = State::read(&path).map_err(failed)?;
        match state.namespace() {
            Some(other) if other != namespace => {
                let (instance, namespace) = (self.options.instance.clone(), Namespace::of(other));
                Err(StartError::Elsewhere { instance, namespace })
            }
            Some(_) => Ok(state),
            None => {
                state.set_namespace(namespace).map_err(failed)?;
                Ok(state)
            }
        }
    }

    fn check_claims(
        claims: &Claims,
        programs: &Programs,
        ports: &Surroundings,
    ) -> Result<(), StartError> {
        for port in &ports.ports {
            if let Some(holder) = claims.holder(programs, port.id.0, &port.name) {
                return Err(StartError::Claimed { interface: port.name.clone(), holder });
            }
        }
        Ok(())
    }

    /// Makes the punt port, or takes over that of a predecessor. Gives the numbers of its ends.
    fn make_pair(
        &self,
        netlink: &mut Netlink,
        mirror: &mut Mirror,
    ) -> Result<[u32; 2], StartError> {
        let pair = self.instance.pair();
        let ends = |mirror: &Mirror| {
            let index = |name| mirror.links().named(name).map(|link| link.index);
            Some([index(&pair.near)?, index(&pair.far)?])
        };
        let ends = match ends(mirror) {
            Some(ends) => ends,
            None => {
                create_pair(netlink, &pair)?;
                *mirror = netlink.picture()?;
                let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
                ends(mirror)
                    .ok_or_else(gone)
                    .map_err(StartError::system("find the punt port just made"))?
            }
        };
        for name in [&pair.near, &pair.far] {
            // The pair carries no IP of the host; without /proc/sys the kernel may send a few
            // router solicitations into it, which are dropped.
            let _ = sysctl::write(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
        }
        for feature in [Feature::TxChecksum, Feature::TcpSegmentation, Feature::GenericSegmentation]
        {
            match ethtool::set(&pair.near, feature, false) {
                // While an XDP program is at the far end, this one is off and cannot be switched.
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
                switched => switched
                    .map_err(StartError::system("switch off the offloads of the punt port"))?,
            }
        }
        for index in ends {
            netlink.set_up(index)?;
        }
        Ok(ends)
    }

    fn open_punt_port(
        &self,
        programs: &mut Programs,
        memory: &SharedMemory,
        [_, far]: [u32; 2],
    ) -> Result<PuntPort, StartError> {
        let pair = self.instance.pair();
        programs.attach_punt_port(&pair.near, (far, &pair.far))?;
        let mut port = open_when_free(far).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOBUFS) => StartError::LockedMemory,
            Some(_) | None => StartError::Socket { interface: pair.far.clone(), source },
        })?;
        programs.set_socket(&port)?;
        if let Some(bulk) = programs.bulk(far, memory) {
            port.set_bulk(bulk);
        }
        Ok(port)
    }

    fn make_engine(
        &self,
        memory: &SharedMemory,
        policy: Policy,
        sockets: &BTreeSet<HostPort>,
    ) -> Result<Engine, StartError> {
        let now = clock::now();
        let table = memory.table.clone();
        let secret = Secret::from_bytes(random()?);
        let (writer, inheritance) = inherit::take_over(table, now.as_nanos(), secret);
        inheritance.tell();
        memory.table.header().clock.set_tick(clock::tick_ns());
        let seed = match self.options.seed {
            Some(seed) => seed,
            None => random()?,
        };
        let mut engine = Engine::new(seed, writer, policy, now);
        engine.set_details(self.options.details);
        engine.handle_sockets(sockets.clone());
        engine.attach_owned(memory.owned.clone());
        Ok(engine)
    }
}

/// Opens the punt port. The kernel gives up the socket of a predecessor a little after the process
/// that had it has ended.
fn open_when_free(far: u32) -> std::io::Result<PuntPort> {
    let end = clock::now() + PATIENCE;
    loop {
        match PuntPort::open(far, NextHop::COUNT as usize) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && clock::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map(|_| bytes)
        .map_err(|error| StartError::system("get random numbers")(error.into()))
}

/// Takes over the next hops of a predecessor; what cannot be told is emptied.
fn adopt_next_hops(mut router: Router, memory: &SharedMemory) -> Router {
    router.set_now(clock::now());
    for (number, entry) in memory.next_hops.iter().enumerate().skip(1) {
        let old = entry.load().unwrap_or_default();
        let id = NextHopId(number as u16);
        if old.state != NextHopState::Empty && !router.adopt(id, &old) {
            router.forget(id);
            let generation = old.generation.wrapping_add(1);
            entry.store(&NextHopValue { generation, ..NextHopValue::default() });
        }
    }
    router
}

fn check_permission() -> Result<(), StartError> {
    let capabilities = rustix::thread::capabilities(None)
        .map_err(|error| StartError::system("read the process's capabilities")(error.into()))?;
    let needed = [
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
        (CapabilitySet::NET_RAW, "CAP_NET_RAW"),
        (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    ];
    for (capability, missing) in needed {
        if !capabilities.effective.contains(capability) {
            return Err(StartError::Permission { missing });
        }
    }
    Ok(())
}

/// Says plainly when the kernel refused for lack of permission, as it does in user namespaces.
fn plainly(error: StartError) -> StartError {
    let mut cause: Option<&dyn core::error::Error> = Some(&error);
    while let Some(found) = cause {
        let refused = found
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.raw_os_error() == Some(libc::EPERM));
        if refused && matches!(error, StartError::Attach(AttachError::Load(_))) {
            return StartError::Permission { missing: "CAP_BPF outside of user namespaces" };
        }
        cause = found.source();
    }
    error
}

fn channel() -> impl FnOnce(std::io::Error) -> StartError {
    StartError::system("make a channel between threads")
}

/// How long a predecessor's socket may take to go.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rounds of the worker whose events wait for watchers at most.
const EVENTS: usize = 256;
