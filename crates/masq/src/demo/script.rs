//! What happens in the demo, step by step, and the watching of the table meanwhile.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::env;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use masq_api::FlowQuery;
use masq_lab::peer::{HttpServer, NameServer};
use masq_lab::{Gateway, Lab, MasqOptions, Topology, peer};

use super::model::{Finding, News, Picture};
use super::net::witness::Witness;
use super::net::{http, icmp};
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

/// What a resolver asks for [`NAME`] (RFC 1035): one question, type A, class IN.
const QUESTION: &[u8] = b"mq\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03net\0\0\x01\0\x01";

/// How often the table is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// Titles, and what one would type; the order of [`perform`].
pub(crate) fn steps(picture: &Picture) -> Vec<(&'static str, String)> {
    let Picture { server, server_port: port, gateway_outside, .. } = picture;
    vec![
        ("build the lab", "ip link add … netns …".to_owned()),
        ("start the gateway", "masq run --inside lan --outside wan".to_owned()),
        ("fetch a page", format!("curl http://{server}:{port}/")),
        ("download a file", format!("curl -O http://{server}:{port}/file/{FILE}")),
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
    pages: HttpServer,
    names: NameServer,
    witness: Witness,
}

impl Scene {
    fn open(lab: &Lab) -> Result<(Self, Finding)> {
        let program = env::current_exe().context("cannot find the masq program itself")?;
        let Picture { server_port, .. } = picture();
        let witness = lab.server.namespace().run(Witness::start)?;
        let pages = HttpServer::start(&lab.server, server_port)?;
        let names = NameServer::start(&lab.server, &[(NAME, masq_lab::address::SERVER)])?;
        let gateway = Gateway::masq(lab, &MasqOptions::new(program))?;
        let finding =
            Finding { got: "ready; the kernel's forwarding is off".into(), server_saw: None };
        Ok((Self { _gateway: gateway, pages, names, witness }, finding))
    }

    /// Whom the web server saw last.
    fn visitor(&self) -> Option<String> {
        self.pages.visits().last().map(|visit| visit.peer.to_string())
    }

    /// Whom the name server saw last.
    fn asker(&self) -> Option<SocketAddr> {
        self.names.service().seen().last().copied()
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
        // What is before the first paragraph is not for readers.
        let paragraph = page.beginning.split_once("<p>").map_or("", |(_, paragraph)| paragraph);
        let text = without_tags(paragraph);
        Ok(((), Finding { got: format!("\"{text}\""), server_saw: scene.visitor() }))
    })?;
    stage.step(|progress| {
        let page = workstation.run(|| {
            http::get(pages, &format!("/file/{FILE}"), |at, of| {
                progress(format!("{} of {}", units::bytes(at), units::bytes(of)));
            })
        })?;
        ensure!(page.announced.as_ref() == Some(&page.hash), "the file arrived damaged");
        let got = format!("{} intact (SHA-256 {}…)", units::bytes(page.length), &page.hash[..8]);
        Ok(((), Finding { got, server_saw: scene.visitor() }))
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
        let address = peer::resolve(lab.workstation(), scene.names.address(), NAME)?;
        let got = format!("{NAME} is {address}");
        Ok(((), Finding { got, server_saw: scene.asker().map(|asker| asker.to_string()) }))
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
    // A question of its own, so that the name server notes the endpoint that stands for this socket.
    let inside = lab.workstation().udp(0)?;
    peer::udp_ask(&inside, scene.names.address(), QUESTION)?;
    let outside = scene.asker().context("the name server saw nobody")?;
    inside.set_read_timeout(Some(Duration::from_millis(400))).context("cannot set a timeout")?;
    let stranger = lab.second.udp(0)?;
    let mut buffer = [0; 512];
    for _ in 0..3 {
        stranger.send_to(b"knock", outside).context("cannot send")?;
    }
    if let Ok(length) = inside.recv(&mut buffer) {
        bail!("the workstation got {length} bytes from a stranger");
    }
    let got = format!("3 packets from {} to {outside}: dropped", lab.second.address());
    Ok(((), Finding { got, server_saw: None }))
}

/// A page's text.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut tag = false;
    for letter in page.chars() {
        match letter {
            '<' => tag = true,
            '>' => tag = false,
            letter if !tag => text.push(letter),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_its_tags() {
        let page = "<!doctype html>\n<p>Hello. To me you are <b>203.0.113.1:5</b>.\n";
        assert_eq!(without_tags(page), "Hello. To me you are 203.0.113.1:5.");
    }
}
