//! probity (scaffold)
mod recording;
fn main() -> anyhow::Result<()> {
    let r = recording::Recording::open(std::path::Path::new(&std::env::args().nth(1).unwrap()))?;
    for e in &r.events { println!("{}:{} {}", e.category, e.name, e.id); }
    println!("cpus {}", r.cpus);
    let mut n = 0;
    let t = r.replay(|s| { n += 1; if n < 8 { println!("{} {} {} {} {} {}", s.time, s.pid, s.tid, s.cpu, s.comm, s.raw.len()); } Ok(true) })?;
    println!("{t:?}");
    Ok(())
}
