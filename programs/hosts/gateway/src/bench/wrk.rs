//! The load generator `wrk`, and what it says.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// What one run gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    pub requests: u64,
    pub a_second: f64,
    /// Connections and requests that failed, and answers that were none of 200 to 399.
    pub failed: u64,
}

pub fn start(address: SocketAddr, connections: u32, seconds: u32) -> Result<Child> {
    // On the first CPU, where there is a choice.
    let there = Command::new("taskset").arg("-V").output().is_ok();
    let mut command = match there {
        true => {
            let mut command = Command::new("taskset");
            command.args(["-c", "0", "wrk"]);
            command
        }
        false => Command::new("wrk"),
    };
    command
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
        .args([
            "-H",
            "user-agent: wrk",
            "-H",
            "accept: */*",
            "-H",
            "x-request: 1",
        ])
        .arg(format!(
            "http://{address}/products/1017/reviews?sort=new&page=2"
        ))
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start wrk (package wrk)")
}

pub fn finish(child: Child) -> Result<Run> {
    let out = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() {
        bail!("wrk failed: {text}");
    }
    let mut run = Run::default();
    for line in text.lines().map(str::trim) {
        if let Some((n, _)) = line.split_once(" requests in ") {
            run.requests = n.parse().context("requests")?;
        } else if let Some(n) = line.strip_prefix("Requests/sec:") {
            run.a_second = n.trim().parse().context("requests a second")?;
        } else if let Some(errors) = line.strip_prefix("Socket errors:") {
            let numbers = errors.split(|c: char| !c.is_ascii_digit());
            run.failed += numbers.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>();
        } else if let Some(n) = line.strip_prefix("Non-2xx or 3xx responses:") {
            run.failed += n.trim().parse::<u64>().context("responses")?;
        }
    }
    match run.requests {
        0 => bail!("wrk says nothing of its requests: {text}"),
        _ => Ok(run),
    }
}
