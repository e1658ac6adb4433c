//! A thousand replacements in a minute under `wrk`: none lost, none half, counts exact, memory flat.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use probity_gateway::filter::Extensions;
use probity_gateway::hooks;
use probity_gateway::server::{Server, Settings, Source};
use probity_host::Load;

use crate::{generation, wrk};

const REPLACEMENTS: u32 = 1000;
const CONNECTIONS: u32 = 32;

pub fn report(seconds: u32) -> Result<String> {
    let host = hooks::host().cpus(1).build()?;
    let objects: Vec<Vec<u8>> = (0..8).map(generation::object).collect();
    host.load("e", &objects[0], &Load::default())?;
    let settings = Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        source: Source::Answer("hello\n".into()),
        grace: Duration::from_secs(5),
    };
    let server = Server::start(&settings, vec![Extensions::new(&host)?])?;
    let load = wrk::start(server.address(), CONNECTIONS, seconds + 2)?;
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    let pace = Duration::from_secs(seconds.into()) / REPLACEMENTS;
    let (mut resident, mut longest) = (Vec::new(), Duration::ZERO);
    for n in 0..REPLACEMENTS {
        let begun = Instant::now();
        let object = &objects[(n as usize + 1) % objects.len()];
        let replaced = host.replace("e", object, &Load::default())?;
        if replaced.kept != ["counts"] || !replaced.retirement.wait(Duration::from_secs(10)) {
            bail!("replacement {n}: the map is not kept, or the old generation stays");
        }
        longest = longest.max(begun.elapsed());
        if n % (REPLACEMENTS / 4) == REPLACEMENTS / 4 - 1 {
            resident.push(resident_bytes());
        }
        std::thread::sleep((pace * (n + 1)).saturating_sub(start.elapsed()));
    }
    let took = start.elapsed();
    let run = wrk::finish(load)?;
    let served = server.stop()?.requests;
    let info = host.extensions().remove(0);
    let counted = |hook: &str| {
        let of = info.programs.iter().filter(|p| p.hook == hook);
        of.map(|p| p.counters.calls).sum::<u64>()
    };
    let map = host.map("e", "counts").context("the map")?;
    let in_map = map.lookup(&0u32.to_ne_bytes()).context("its element")?;
    let in_map = u64::from_ne_bytes(in_map.get(..8).context("two counts")?.try_into()?);
    let mut out = format!(
        "## A thousand replacements\n\n\
         An extension with a program on each hook and a map that is kept is replaced {} times in {:.1} s while wrk asks through {CONNECTIONS} connections, \
         each time waiting for the old generation's last caller. What the program of `request` leaves is looked at by the one of `response`: \
         what was written by half a generation, or by none, is answered with 500. \
         wrk gives up the requests that are under way when its time is over, one a connection at most: the gateway has served that many more.\n\n\
         | asked by wrk and answered | failed | served by the gateway | counted for `request` | for `response` | by the map | slowest replacement |\n\
         |---|---|---|---|---|---|---|\n",
        info.generation - 1,
        took.as_secs_f64()
    );
    writeln!(
        out,
        "| {} | {} | {served} | {} | {} | {in_map} | {:.1} ms |\n",
        run.requests,
        run.failed,
        counted("request"),
        counted("response"),
        longest.as_secs_f64() * 1000.0
    )?;
    let resident: Vec<String> = resident.iter().map(|b| (b >> 10).to_string()).collect();
    writeln!(
        out,
        "Resident after each quarter, in KiB: {}.",
        resident.join(", ")
    )?;
    if run.failed != 0 || counted("request") != served || in_map != served {
        bail!("{out}\nrequests were lost, or not counted");
    }
    Ok(out)
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
