use super::*;
use crate::tests::instance;

/// Reads a file as the specification says.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|b| *b == 0).expect("an end");
        let text = String::from_utf8(self.take(end).to_vec()).expect("a text");
        self.take(1);
        text
    }
}

#[test]
fn the_file_names_every_function_with_its_code_and_lines() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../programs/xdp-firewall/xdp-firewall.o");
    let bytes = std::fs::read(path).expect("an object");
    let object = probity_objfile::open("xdp-firewall", &bytes).expect("an object");
    let platform = std::sync::Arc::new(probity_runtime::platform(None));
    let report = probity_verifier::verify(
        &object,
        &platform,
        &probity_platform::Policy::default(),
        &probity_verifier::Options::default(),
    );
    let (verified, _) = report.expect("a report").into_partial();
    let jit = Jit::new(instance(&std::sync::Arc::new(verified))).expect("code");
    let dump = JitDump::create(std::env::temp_dir()).expect("a file");
    dump.add(&jit).expect("written");
    let path = dump.path().to_path_buf();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs");
    let marker = maps
        .lines()
        .find(|l| l.contains("/jit-") && l.contains(".dump"));
    assert!(
        marker.is_some_and(|l| l.contains("r-xp")),
        "perf looks for an executable mapping"
    );
    drop(dump);
    let bytes = std::fs::read(&path).expect("a file");
    let _ = std::fs::remove_file(&path);
    let mut r = Reader(&bytes);
    assert_eq!((r.u32(), r.u32(), r.u32()), (0x4a69_5444, 1, 40));
    assert_eq!(r.u32(), machine());
    r.u32();
    assert_eq!(r.u32(), std::process::id());
    r.u64();
    assert_eq!(r.u64(), 0);
    let (mut loads, mut lines, mut closed) = (Vec::new(), 0, false);
    let mut described = None;
    while !r.0.is_empty() {
        assert!(!closed, "something behind the end");
        let (id, size) = (r.u32(), r.u32() as usize);
        r.u64();
        let mut c = Reader(r.take(size - PREFIX));
        match id {
            DEBUG_INFO => {
                let address = c.u64();
                let n = c.u64();
                let mut last = address;
                for _ in 0..n {
                    let at = c.u64();
                    assert!(at >= last);
                    last = at;
                    let (line, _, file) = (c.u32(), c.u32(), c.text());
                    assert!(line > 0 && file.contains("firewall"), "{file}:{line}");
                    lines += 1;
                }
                assert!(c.0.is_empty());
                described = Some(address);
            }
            LOAD => {
                assert_eq!(c.u32(), std::process::id());
                c.u32();
                let (vma, address, len) = (c.u64(), c.u64(), c.u64() as usize);
                assert_eq!(vma, address);
                assert_eq!(described, Some(address), "lines come before the code");
                assert_eq!(c.u64(), loads.len() as u64);
                let name = c.text();
                // SAFETY: the engine's code, which is alive and this long.
                let code = unsafe { std::slice::from_raw_parts(address as *const u8, len) };
                assert_eq!(c.take(len), code, "{name}");
                assert!(c.0.is_empty());
                loads.push(name);
            }
            CLOSE => closed = true,
            other => panic!("record {other}"),
        }
    }
    assert!(closed && lines > 5, "{lines} lines");
    let main = jit.instance().programs()[0].name();
    assert!(loads.iter().any(|n| n == main), "{loads:?}");
}
