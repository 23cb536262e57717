//! What happens in the demo, step by step, and the watching of the table meanwhile.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::env;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use masq_api::FlowQuery;
use masq_lab::{Gateway, Lab, MasqOptions, Topology};

use super::model::{Finding, News, Picture};
use super::net::server::Server;
use super::net::witness::Witness;
use super::net::{dns, http, icmp};
use crate::client::Client;
use crate::clock::Stopwatch;
use crate::control::socket;
use crate::view::units;

/// The file that is downloaded, in bytes.
const FILE: u64 = 50_000_000;

/// A name that everybody may use in examples (RFC 2606).
const NAME: &str = "www.example.net";

/// The instance's name is the lab's, in a /run of the gateway's own.
const INSTANCE: &str = "lab";

/// How often the table is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// Titles, and what one would type; the order of [`perform`].
pub(crate) fn steps(picture: &Picture) -> Vec<(&'static str, String)> {
    let Picture { server, server_port: port, gateway_outside, .. } = picture;
    vec![
        ("build the lab", "ip link add … netns …".to_owned()),
        ("start the gateway", "masq run --inside lan --outside wan".to_owned()),
        ("fetch a page", format!("curl http://{server}:{port}/")),
        ("download a file", format!("curl -O http://{server}:{port}/file")),
        ("ping", format!("ping -c 3 {server}")),
        ("resolve a name", format!("dig @{server} {NAME}")),
        ("trace the route", format!("traceroute {server}")),
        ("a stranger knocks", format!("nc -u {gateway_outside} PORT   (from outside)")),
    ]
}

pub(crate) fn picture() -> Picture {
    Picture {
        workstation: IpAddr::V4(masq_lab::address::workstation(0)),
        gateway_inside: IpAddr::V4(masq_lab::address::GATEWAY_INSIDE),
        gateway_outside: IpAddr::V4(masq_lab::address::GATEWAY_OUTSIDE),
        server: IpAddr::V4(masq_lab::address::SERVER),
        server_port: 8888,
    }
}

/// How the demo is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// A pause before each step, for people to follow.
    pub(crate) pause: Duration,
}

/// Plays the demo and tells of it; then keeps the lab until `release` is dropped.
pub(crate) fn play(
    tell: &Sender<News>,
    pace: Pace,
    stop: &AtomicBool,
    keep: bool,
    release: &Receiver<()>,
) {
    let mut stage = Stage { tell, pace, stop, index: 0 };
    let Some(lab) = stage.step(|_| {
        let lab = Topology::new().build()?;
        Ok((lab, Finding { got: "7 hosts in network namespaces".into(), server_saw: None }))
    }) else {
        let _ = tell.send(News::End);
        return;
    };
    perform(&mut stage, &lab, keep, release);
}

fn perform(stage: &mut Stage<'_>, lab: &Lab, keep: bool, release: &Receiver<()>) {
    let tell = stage.tell;
    let Some(scene) = stage.step(|_| Scene::open(lab)) else {
        let _ = tell.send(News::End);
        return;
    };
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        let watcher = threads.spawn(|| watch(lab, &scene.witness, tell, &over));
        act(stage, lab, &scene);
        over.store(true, Ordering::Release);
        // It looks once more, so that the last state is shown.
        let _ = watcher.join();
    });
    if keep {
        let ways = lab.ways_in().map(|(name, way)| (name.to_owned(), way)).collect();
        let _ = tell.send(News::WaysIn(ways));
    }
    let _ = tell.send(News::End);
    if keep {
        // Dropped by whoever has had enough.
        let _ = release.recv();
    }
}

/// What stands once the gateway runs.
struct Scene {
    _gateway: Gateway,
    server: Server,
    witness: Witness,
}

impl Scene {
    fn open(lab: &Lab) -> Result<(Self, Finding)> {
        let program = env::current_exe().context("cannot find the masq program itself")?;
        let Picture { server_port, .. } = picture();
        let namespace = lab.server.namespace();
        let witness = namespace.run(Witness::start)?;
        let server =
            namespace.run(|| Server::start(masq_lab::address::SERVER, server_port, FILE))?;
        let gateway = Gateway::masq(lab, &MasqOptions::new(program))?;
        let finding =
            Finding { got: "ready; the kernel's forwarding is off".into(), server_saw: None };
        Ok((Self { _gateway: gateway, server, witness }, finding))
    }

    fn saw(&self) -> Option<String> {
        self.server.saw().map(|peer| peer.to_string())
    }
}

/// The steps that send packets.
fn act(stage: &mut Stage<'_>, lab: &Lab, scene: &Scene) -> Option<()> {
    let workstation = lab.workstation().namespace();
    let server = masq_lab::address::SERVER;
    let pages = SocketAddr::from((server, picture().server_port));
    stage.step(|_| {
        let page = workstation.run(|| http::get(pages, "/", |_, _| {}))?;
        ensure!(page.status == "200 OK", "the server answered {}", page.status);
        let text = page.beginning.replace("<h1>", "").replace("</h1>", ".");
        let text = text.replace("<p>", "").replace("</p>", "").trim().to_owned();
        Ok(((), Finding { got: format!("\"{text}\""), server_saw: scene.saw() }))
    })?;
    stage.step(|progress| {
        let page = workstation.run(|| {
            http::get(pages, "/file", |at, of| {
                progress(format!("{} of {}", units::bytes(at), units::bytes(of)));
            })
        })?;
        ensure!(page.announced.as_ref() == Some(&page.hash), "the file arrived damaged");
        let got = format!("{} intact (SHA-256 {}…)", units::bytes(page.length), &page.hash[..8]);
        Ok(((), Finding { got, server_saw: scene.saw() }))
    })?;
    stage.step(|progress| {
        let mut times = Vec::new();
        for sequence in 1..=3 {
            times.push(workstation.run(|| icmp::ping(server, 0x6d71, sequence))?);
            progress(format!("{sequence} of 3 came back"));
        }
        let average = times.iter().sum::<Duration>() / 3;
        let got = format!("3 of 3 came back, {} µs each", average.as_micros());
        Ok(((), Finding { got, server_saw: None }))
    })?;
    stage.step(|_| {
        let names = SocketAddr::from((server, 53));
        let address = workstation.run(|| dns::look_up(names, NAME))?;
        let got = format!("{NAME} is {address}");
        Ok(((), Finding { got, server_saw: scene.saw() }))
    })?;
    stage.step(|_| {
        let hops = workstation.run(|| icmp::trace(server))?;
        let hops: Vec<_> = hops.iter().map(ToString::to_string).collect();
        Ok(((), Finding { got: hops.join(" → "), server_saw: None }))
    })?;
    stage.step(|_| knock(lab, scene))
}

/// Somebody whom the workstation never wrote to sends to its outside endpoint.
fn knock(lab: &Lab, scene: &Scene) -> Result<((), Finding)> {
    let inside = lab.workstation().namespace().run(|| -> Result<UdpSocket> {
        let socket = UdpSocket::bind("0.0.0.0:0").context("cannot open a UDP socket")?;
        socket
            .set_read_timeout(Some(Duration::from_millis(400)))
            .context("cannot set a timeout")?;
        Ok(socket)
    })?;
    // A question of its own, so that the server notes the endpoint that stands for this socket.
    let names = (masq_lab::address::SERVER, 53);
    inside.send_to(&dns::query(1, NAME), names).context("cannot send")?;
    let mut buffer = [0; 512];
    inside.recv(&mut buffer).context("the server did not answer")?;
    let outside = scene.server.saw().context("the server saw nobody")?;
    let stranger = lab.second.namespace().run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    for _ in 0..3 {
        stranger.send_to(b"knock", outside).context("cannot send")?;
    }
    if let Ok(length) = inside.recv(&mut buffer) {
        bail!("the workstation got {length} bytes from a stranger");
    }
    let got = format!("3 packets from {} to {outside}: dropped", lab.second.address());
    Ok(((), Finding { got, server_saw: None }))
}

/// Tells of one step after the other.
struct Stage<'a> {
    tell: &'a Sender<News>,
    pace: Pace,
    stop: &'a AtomicBool,
    index: usize,
}

impl Stage<'_> {
    /// Plays one step; `None` when it failed or the audience left.
    fn step<T>(
        &mut self,
        play: impl FnOnce(&(dyn Fn(String) + Sync)) -> Result<(T, Finding)>,
    ) -> Option<T> {
        if self.index > 0 {
            thread::sleep(self.pace.pause);
        }
        if self.stop.load(Ordering::Acquire) {
            return None;
        }
        let index = self.index;
        self.index += 1;
        // Nobody listens any more when the view is gone; the step is played all the same.
        let _ = self.tell.send(News::Began(index));
        let tell = self.tell.clone();
        let progress = move |text| {
            let _ = tell.send(News::Progress(index, text));
        };
        let time = Stopwatch::start();
        match play(&progress) {
            Ok((value, finding)) => {
                let _ = self.tell.send(News::Done(index, time.elapsed(), finding));
                Some(value)
            }
            Err(error) => {
                let _ = self.tell.send(News::Failed(index, format!("{error:#}")));
                None
            }
        }
    }
}

/// Looks at the table again and again, as `masq flows --watch` does, and once more at the end.
fn watch(lab: &Lab, witness: &Witness, tell: &Sender<News>, over: &AtomicBool) {
    lab.gateway.namespace().run(|| {
        let client = Client::new(INSTANCE, Path::new(&socket::default_path(INSTANCE)));
        let Ok(runtime) = crate::runtime() else { return };
        loop {
            let last = over.load(Ordering::Acquire);
            runtime.block_on(async {
                let query = FlowQuery { limit: Some(50), ..FlowQuery::default() };
                if let (Ok(page), Ok(stats)) = (client.flows(&query).await, client.stats().await) {
                    let _ = tell.send(News::Table(page.flows, Box::new(stats)));
                }
            });
            let _ = tell.send(News::Seen(witness.seen()));
            if last {
                return;
            }
            thread::sleep(GLANCE);
        }
    });
}
