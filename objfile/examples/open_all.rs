//! Opens every object file named and prints one line for each.
fn main() {
    let (mut ok, mut bad) = (0, 0);
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or("").to_owned();
        match probity_objfile::open(&name, &bytes) {
            Ok(o) => {
                ok += 1;
                let insns: usize = o.programs.iter().map(|p| p.insns.len()).sum();
                println!(
                    "ok   {name}: {} programs, {insns} slots, {} maps, {} externs",
                    o.programs.len(),
                    o.maps.len(),
                    o.externs.len()
                );
            }
            Err(e) => {
                bad += 1;
                println!("FAIL {name}: {e}");
            }
        }
    }
    println!("{ok} opened, {bad} refused");
}
