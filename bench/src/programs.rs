//! The bench's eBPF programs, loaded for one lab, and what their maps say.

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, Map, PerCpuArray, PerCpuValues};
use aya::programs::tc::TcAttachType;
use aya::programs::{SchedClassifier, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use masq_bench_packet::settings::{Known, Learnt};
use masq_bench_packet::{Counts, Settings, Streams, Wrong};
use masq_lab::Host;
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::lab::{Lab, Port};
use crate::result::Direction;
use crate::sys::Words;

/// The programs of one lab. They go with it.
#[derive(Debug)]
pub struct Programs {
    ebpf: Ebpf,
    flows: Words,
}

/// What all receivers have counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Right packets of the measured flows.
    pub received: u64,
    /// Right packets of flows that disturb them.
    pub disturbing: u64,
    /// Flows that were seen for the first time.
    pub learnt: u64,
    /// Packets that came after a later one of their flow.
    pub reordered: u64,
    /// Wrong packets.
    pub wrong: u64,
    /// Packets dropped on purpose.
    pub dropped: u64,
}

impl Programs {
    /// Loads them for as many flows, and attaches the receivers.
    ///
    /// # Errors
    ///
    /// When the kernel refuses one.
    pub fn load(lab: &Lab, flows: u32) -> Result<Self> {
        let flows = flows.max(1);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(FLOWS, flows)
            .load(OBJECT)
            .context("loading the bench's programs")?;
        // A program that is attached somewhere stays known to the kernel's dispatcher of XDP programs.
        // Otherwise every test run would enter it there and take it out, and wait for all processors
        // each time. Nothing arrives by loopback.
        for (name, host) in SENDERS.into_iter().zip([&lab.sender, &lab.receiver]) {
            let program = load(&mut ebpf, name)?;
            host.run(|| program.attach("lo", XdpMode::Skb))
                .with_context(|| format!("making {name} known"))?;
        }
        attach(&mut ebpf, "bench_receive_outside", &lab.receiver, &lab.outside)?;
        attach(&mut ebpf, "bench_receive_inside", &lab.sender, &lab.inside)?;
        let Some(Map::Array(map)) = ebpf.map(FLOWS) else { bail!("{FLOWS} is no array") };
        let words = flows as usize * WORDS;
        let flows = Words::map(map.fd(), words).with_context(|| format!("mapping {FLOWS}"))?;
        Ok(Self { ebpf, flows })
    }

    /// Puts a TC program in the gateway's place, or in the place of what it has where packets leave.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn attach_tc(
        &mut self,
        name: &str,
        host: &Host,
        interface: &str,
        hook: TcAttachType,
    ) -> Result<()> {
        let program = self.ebpf.program_mut(name).with_context(|| name.to_owned())?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load().with_context(|| format!("loading {name}"))?;
        host.run(|| program.attach(interface, hook))
            .with_context(|| format!("attaching {name} on {host}"))?;
        Ok(())
    }

    /// Puts an XDP program in the gateway's place.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn attach_to_gateway(&mut self, program: &str, host: &Host, port: &Port) -> Result<()> {
        attach(&mut self.ebpf, program, host, port)
    }

    /// Says what the programs go by.
    ///
    /// # Errors
    ///
    /// When the map refuses it.
    pub fn set(&mut self, settings: &Settings) -> Result<()> {
        let mut value = [0; size_of::<Settings>()];
        value.copy_from_slice(settings.as_bytes());
        let map = self.ebpf.map_mut(SETTINGS).context(SETTINGS)?;
        let mut map = Array::<_, [u8; size_of::<Settings>()]>::try_from(map)?;
        map.set(0, value, 0).context("telling the programs what to do")
    }

    /// Says what the generator on a processor sends.
    ///
    /// # Errors
    ///
    /// When the map refuses it.
    pub fn set_streams(&mut self, streams: &[(usize, Streams)]) -> Result<()> {
        let map = self.ebpf.map_mut(STREAMS).context(STREAMS)?;
        let mut map = PerCpuArray::<_, [u8; size_of::<Streams>()]>::try_from(map)?;
        let mut values = map.get(&0, 0)?.to_vec();
        for (cpu, streams) in streams {
            let value = values.get_mut(*cpu).context("a generator on a processor that is none")?;
            value.copy_from_slice(streams.as_bytes());
        }
        Ok(map.set(0, PerCpuValues::try_from(values)?, 0)?)
    }

    /// What the generator on a processor has sent.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn streams(&self, cpu: usize) -> Result<Streams> {
        let map = self.ebpf.map(STREAMS).context(STREAMS)?;
        let map = PerCpuArray::<_, [u8; size_of::<Streams>()]>::try_from(map)?;
        let values = map.get(&0, 0)?;
        let value = values.get(cpu).context("a generator on a processor that is none")?;
        Streams::read_from_bytes(value).ok().context("streams of another size")
    }

    /// The generator for a direction.
    ///
    /// # Errors
    ///
    /// When it was not loaded.
    pub fn sender(&self, direction: Direction) -> Result<&Xdp> {
        let name = match direction {
            Direction::Egress | Direction::Across => SENDERS[0],
            Direction::Ingress => SENDERS[1],
            Direction::Both => bail!("a generator sends one way"),
        };
        Ok(self.ebpf.program(name).context(name)?.try_into()?)
    }

    /// What has been counted since the programs were loaded.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn tally(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        for counts in self.counts()? {
            tally.received += counts.received[0];
            tally.disturbing += counts.received[1];
            tally.learnt += counts.learnt;
            tally.reordered += counts.reordered;
            tally.wrong += counts.wrong.iter().sum::<u64>();
        }
        let map = PerCpuArray::<_, u64>::try_from(self.ebpf.map(DROPPED).context(DROPPED)?)?;
        tally.dropped = map.get(&0, 0)?.iter().sum();
        Ok(tally)
    }

    /// What was wrong with packets, for messages.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn complaint(&self) -> Result<String> {
        let mut text = String::new();
        for counts in self.counts()? {
            for (wrong, count) in
                Wrong::ALL.iter().zip(counts.wrong).filter(|(_, count)| *count > 0)
            {
                text += &format!("{count} wrong by {}; ", wrong.as_str());
            }
            if counts.first_wrong != [0; 4] {
                let [from, to, ports, flow] = counts.first_wrong;
                let address = |raw: u32| core::net::Ipv4Addr::from(raw.to_ne_bytes());
                let [a, b, c, d] = ports.to_ne_bytes();
                let ports = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
                text += &format!(
                    "the first: {}:{} > {}:{} of flow {flow}; ",
                    address(from),
                    ports[0],
                    address(to),
                    ports[1]
                );
            }
        }
        Ok(text)
    }

    /// The outside endpoint that a flow was given, once it has been seen.
    #[must_use]
    pub fn learnt(&self, flow: u32) -> Option<Learnt> {
        Learnt::from_word(self.flows.load(flow as usize * WORDS))
    }

    /// How many flows can be told apart.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        (self.flows.len() / WORDS) as u32
    }

    /// Forgets sequence numbers, before they begin anew.
    pub fn forget_order(&self) {
        (0..self.flows.len()).skip(1).step_by(WORDS).for_each(|word| self.flows.store(word, 0));
    }

    fn counts(&self) -> Result<Vec<Counts>> {
        let map = self.ebpf.map(COUNTS).context(COUNTS)?;
        let map = PerCpuArray::<_, [u8; size_of::<Counts>()]>::try_from(map)?;
        let values = map.get(&0, 0)?;
        let read = |value: &[u8; size_of::<Counts>()]| Counts::read_from_bytes(value).ok();
        values.iter().map(read).collect::<Option<_>>().context("counts of another size")
    }
}

fn load<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program: &mut Xdp = ebpf.program_mut(name).with_context(|| name.to_owned())?.try_into()?;
    program.load().with_context(|| format!("loading {name}"))?;
    Ok(program)
}

fn attach(ebpf: &mut Ebpf, name: &str, host: &Host, port: &Port) -> Result<()> {
    let program: &mut Xdp = ebpf.program_mut(name).with_context(|| name.to_owned())?.try_into()?;
    if program.fd().is_err() {
        program.load().with_context(|| format!("loading {name}"))?;
    }
    // An interface's number means something in its own namespace only.
    host.run(|| program.attach_to_if_index(port.index, XdpMode::Driver))
        .with_context(|| format!("attaching {name} on {host}"))?;
    Ok(())
}

const SETTINGS: &str = "BENCH_SETTINGS";
const STREAMS: &str = "BENCH_STREAMS";
const COUNTS: &str = "BENCH_COUNTS";
const DROPPED: &str = "BENCH_DROPPED";
const FLOWS: &str = "BENCH_FLOWS";
const SENDERS: [&str; 2] = ["bench_send_egress", "bench_send_ingress"];

/// The words of a [`Known`]: the outside endpoint, and the next sequence number.
const WORDS: usize = size_of::<Known>() / size_of::<u32>();

static OBJECT: &[u8] = include_bytes_aligned!(env!("MASQ_BENCH_EBPF_OBJECT_PATH"));
