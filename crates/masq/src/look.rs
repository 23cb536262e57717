//! The commands that ask a running gateway and show the answer.

use core::time::Duration;

use anyhow::Result;
use masq_api::{FlowPage, FlowQuery, MappingPage, ReleaseRequest, ReloadRequest};

use crate::cli;
use crate::client::Client;
use crate::output;
use crate::view;

/// How many sessions are asked for at a time: enough to be quick, few enough to stay small.
const PAGE: u32 = 5000;
/// Mappings that are asked for at once.
const PAGE_OF_MAPPINGS: u32 = 50_000;

pub(crate) async fn flows(client: &Client, listing: cli::Listing) -> Result<()> {
    let json = listing.watching.output.json;
    let watch = listing.watching.watch;
    let query = query(listing);
    again(watch, async || {
        if json { flows_json(client, &query).await } else { flows_text(client, &query).await }
    })
    .await
}

async fn flows_text(client: &Client, query: &FlowQuery) -> Result<Screen> {
    let mut table = view::flows::Flows::new();
    // One page is one write; a watched screen is drawn whole.
    let mut screen = Screen::default();
    each_page(client, query, |page| {
        screen.text.push_str(&table.page(&page.flows));
        Ok(())
    })
    .await?;
    Ok(screen)
}

async fn flows_json(client: &Client, query: &FlowQuery) -> Result<Screen> {
    let mut flows = Vec::new();
    each_page(client, query, |page| {
        flows.extend(page.flows);
        Ok(())
    })
    .await?;
    Screen::json(&flows)
}

/// Walks the table page by page, up to the query's limit.
async fn each_page(
    client: &Client,
    query: &FlowQuery,
    mut show: impl FnMut(FlowPage) -> Result<()>,
) -> Result<()> {
    let mut query = query.clone();
    let mut left = query.limit.unwrap_or(u32::MAX);
    loop {
        query.limit = Some(left.min(PAGE));
        let page = client.flows(&query).await?;
        left -= u32::try_from(page.flows.len()).unwrap_or(u32::MAX).min(left);
        let next = page.next;
        show(page)?;
        if next.is_none() || left == 0 {
            return Ok(());
        }
        query.after = next;
    }
}

pub(crate) async fn mappings(client: &Client, listing: cli::Listing) -> Result<()> {
    let json = listing.watching.output.json;
    let watch = listing.watching.watch;
    let query = query(listing);
    again(watch, async || {
        if json { mappings_json(client, &query).await } else { mappings_text(client, &query).await }
    })
    .await
}

async fn mappings_text(client: &Client, query: &FlowQuery) -> Result<Screen> {
    let mut table = view::mappings::Mappings::new();
    let mut screen = Screen::default();
    each_page_of_mappings(client, query, |page| {
        screen.text.push_str(&table.page(&page.mappings));
    })
    .await?;
    Ok(screen)
}

async fn mappings_json(client: &Client, query: &FlowQuery) -> Result<Screen> {
    let mut mappings = Vec::new();
    each_page_of_mappings(client, query, |page| mappings.extend(page.mappings)).await?;
    Screen::json(&mappings)
}

/// As [`each_page`], but a page of mappings costs a walk through the table, so they are large.
async fn each_page_of_mappings(
    client: &Client,
    query: &FlowQuery,
    mut show: impl FnMut(MappingPage),
) -> Result<()> {
    let mut query = query.clone();
    let mut left = query.limit.unwrap_or(u32::MAX);
    loop {
        query.limit = Some(left.min(PAGE_OF_MAPPINGS));
        let page = client.mappings(&query).await?;
        left -= u32::try_from(page.mappings.len()).unwrap_or(u32::MAX).min(left);
        query.beyond.clone_from(&page.next);
        show(page);
        if query.beyond.is_none() || left == 0 {
            return Ok(());
        }
    }
}

pub(crate) async fn stats(client: &Client, watching: cli::Watching) -> Result<()> {
    again(watching.watch, async || {
        let stats = client.stats().await?;
        if watching.output.json {
            Screen::json(&stats)
        } else {
            Ok(Screen::text(view::stats::text(&stats)))
        }
    })
    .await
}

pub(crate) async fn status(client: &Client, output: cli::Output) -> Result<()> {
    let status = client.status().await?;
    if output.json {
        output::pretty_json(&status)
    } else {
        output::print(&view::status::text(&status))
    }
}

pub(crate) async fn reload(client: &Client, reload: cli::Reload) -> Result<()> {
    let plan = client.reload(ReloadRequest { dry_run: reload.dry_run }).await?;
    if reload.output.json {
        output::pretty_json(&plan)
    } else {
        output::print(&view::reload::text(&plan))
    }
}

pub(crate) async fn release(client: &Client, release: cli::Release) -> Result<()> {
    let status = client.release(ReleaseRequest { interface: release.interface }).await?;
    if release.output.json {
        output::pretty_json(&status)
    } else {
        output::print(&view::status::text(&status))
    }
}

fn query(listing: cli::Listing) -> FlowQuery {
    let cli::Listing { watching: _, protocol, inside, outside, remote, port, state, limit } =
        listing;
    FlowQuery { protocol, inside, outside, remote, port, state, after: None, beyond: None, limit }
}

/// One showing of something.
#[derive(Debug, Default)]
struct Screen {
    text: String,
    json: bool,
}

impl Screen {
    fn text(text: String) -> Self {
        Self { text, json: false }
    }

    fn json(value: &impl serde::Serialize) -> Result<Self> {
        let mut text = serde_json::to_string(value)?;
        text.push('\n');
        Ok(Self { text, json: true })
    }
}

/// Shows it once, or again and again: JSON a line each time, text on a cleared screen.
async fn again(watch: Option<Duration>, show: impl AsyncFn() -> Result<Screen>) -> Result<()> {
    let Some(every) = watch else { return output::print(&show().await?.text) };
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let screen = show().await?;
        if !screen.json && output::is_terminal() {
            // Home, the text with the rest of each line cleared, then clear what is below: no flicker.
            let text = screen.text.replace('\n', "\x1b[K\n");
            output::print(&format!("\x1b[H{text}\x1b[J"))?;
        } else {
            output::print(&screen.text)?;
        }
    }
}
