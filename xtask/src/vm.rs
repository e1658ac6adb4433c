//! Boots a Debian kernel in QEMU and runs `tests/vm/*.sh` in it as root.
//!
//! The running kernel may lack what users have (kprobes, trampolines); a Debian kernel,
//! taken by package name, boots in seconds under software emulation. The guest is a
//! busybox initramfs with the release build of `probity` and `programs/`. A script prints
//! `ok NAME` or `not ok NAME: why` a case; a script that prints neither has failed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sh;

const KERNEL: &str = "6.12";
const TIME_LIMIT: Duration = Duration::from_secs(240);

pub fn run(only: &[String]) -> Result<()> {
    for program in ["qemu-system-x86_64", "busybox", "cpio"] {
        if !sh::has(program) {
            return skip(&format!(
                "no {program} (cargo xtask setup installs it as root)"
            ));
        }
    }
    let Some(kernel) = kernel()? else {
        return Ok(());
    };
    sh::run(sh::cargo().args(["build", "--quiet", "--release", "--package", "probity-cli"]))?;
    let mut scripts: Vec<PathBuf> = std::fs::read_dir("tests/vm")?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "sh"))
        .filter(|p| {
            only.is_empty()
                || only
                    .iter()
                    .any(|n| p.file_stem().is_some_and(|s| s == n.as_str()))
        })
        .collect();
    scripts.sort();
    if scripts.is_empty() {
        bail!("no such script in tests/vm");
    }
    let work = sh::target_dir().join("vm");
    let initramfs = initramfs(&work, &scripts)?;
    let out = boot(&kernel, &initramfs, &work)?;
    judge(&scripts, &out)
}

/// Where the whole suite runs as root these tests have to run; elsewhere why they do not is said.
fn skip(why: &str) -> Result<()> {
    if sh::is_root() && std::env::var_os("CI").is_some() {
        bail!("cannot run: {why}");
    }
    println!("vm: skipped: {why}");
    Ok(())
}

/// The newest cloud kernel of the series, fetched once by package name.
fn kernel() -> Result<Option<PathBuf>> {
    let cache = sh::target_dir().join("vm-kernel");
    let cached = || -> Option<PathBuf> {
        let mut images: Vec<_> = std::fs::read_dir(&cache)
            .ok()?
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| {
                p.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-"))
            })
            .collect();
        images.sort();
        images.pop()
    };
    if let Some(found) = cached() {
        return Ok(Some(found));
    }
    if !sh::has("apt-get") || !sh::has("dpkg-deb") {
        skip("no apt-get to fetch a Debian kernel with")?;
        return Ok(None);
    }
    let find = || -> Result<Option<String>> {
        let names = sh::output(
            Command::new("apt-cache").args(["pkgnames", &format!("linux-image-{KERNEL}.")]),
        )?;
        let mut names: Vec<&str> = names
            .lines()
            .filter(|n| n.ends_with("-cloud-amd64") && !n.contains("-rt-"))
            .collect();
        names.sort_by_key(|n| {
            n.split(|c: char| !c.is_ascii_digit())
                .filter_map(|d| d.parse::<u32>().ok())
                .collect::<Vec<_>>()
        });
        Ok(names.last().map(|n| n.to_string()))
    };
    let mut package = find()?;
    if package.is_none() && sh::is_root() {
        let _ = sh::output(Command::new("apt-get").args(["-qq", "update"]));
        package = find()?;
    }
    let Some(package) = package else {
        skip(&format!(
            "the package lists have no linux-image-{KERNEL}*-cloud-amd64 (apt-get update?)"
        ))?;
        return Ok(None);
    };
    println!("vm: fetching {package}");
    let unpack = cache.join("unpack");
    let _ = std::fs::remove_dir_all(&unpack);
    std::fs::create_dir_all(&unpack)?;
    sh::output(
        Command::new("apt-get")
            .args(["-qq", "download", &package])
            .current_dir(&unpack),
    )?;
    let deb = std::fs::read_dir(&unpack)?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .next()
        .context("nothing downloaded")?;
    sh::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&unpack))?;
    for entry in std::fs::read_dir(unpack.join("boot"))? {
        let path = entry?.path();
        if let Some(name) = path
            .file_name()
            .filter(|n| n.to_string_lossy().starts_with("vmlinuz-"))
        {
            std::fs::rename(&path, cache.join(name))?;
        }
    }
    std::fs::remove_dir_all(&unpack)?;
    Ok(cached())
}

const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox --install -s /bin; export PATH=/bin HOME=/root
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /tmp
mount -t tracefs t /sys/kernel/tracing; mount -t bpf bpf /sys/fs/bpf
mkdir -p /sys/fs/cgroup; mount -t cgroup2 c /sys/fs/cgroup; ip link set lo up
exec >/dev/ttyS1 2>&1 </dev/null; stty -F /dev/ttyS1 raw 2>/dev/null
cd /probity
for t in tests/*.sh; do echo \"## $t\"; timeout 100 sh $t; echo \"## end $t $?\"; done
echo '## all done'
sync; poweroff -f
";

fn initramfs(work: &Path, scripts: &[PathBuf]) -> Result<PathBuf> {
    let root = work.join("root");
    let _ = std::fs::remove_dir_all(&root);
    for dir in [
        "bin",
        "proc",
        "sys",
        "dev",
        "tmp",
        "etc",
        "root",
        "probity/tests",
    ] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    let busybox = sh::output(Command::new("sh").args(["-c", "command -v busybox"]))?;
    std::fs::copy(busybox.trim(), root.join("bin/busybox"))?;
    let probity = sh::target_dir().join("release/probity");
    std::fs::copy(&probity, root.join("bin/probity"))?;
    for library in sh::output(Command::new("ldd").arg(&probity))?
        .split_whitespace()
        .filter(|w| w.starts_with('/'))
    {
        let to = root.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().context("library path")?)?;
        std::fs::copy(library, to)?;
    }
    sh::run(
        Command::new("cp")
            .args(["-r", "programs"])
            .arg(root.join("probity/programs")),
    )?;
    for script in scripts {
        std::fs::copy(
            script,
            root.join("probity/tests")
                .join(script.file_name().context("script name")?),
        )?;
    }
    let init = root.join("init");
    std::fs::write(&init, INIT)?;
    std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let image = work.join("initramfs.gz");
    sh::run(Command::new("sh").current_dir(&root).arg("-c").arg(format!(
        "find . | cpio -o -H newc --quiet | gzip -1 > '{}'",
        std::path::absolute(&image)?.display()
    )))?;
    Ok(image)
}

fn boot(kernel: &Path, initramfs: &Path, work: &Path) -> Result<String> {
    let out = work.join("out");
    let console = work.join("console");
    std::fs::write(&out, "")?;
    let mut qemu = Command::new("qemu-system-x86_64")
        .args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "1024",
        ])
        .args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-no-reboot",
            "-nodefaults",
        ])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable",
        ])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-serial")
        .arg(format!("file:{}", out.display()))
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = qemu.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > TIME_LIMIT {
            qemu.kill()?;
            qemu.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let text = String::from_utf8_lossy(&std::fs::read(&out)?).into_owned();
    let name = kernel
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    println!("vm: {name} ran for {:.0} s", start.elapsed().as_secs_f32());
    if status.is_none_or(|s| !s.success()) || !text.contains("## all done") {
        print!("{text}");
        let console = String::from_utf8_lossy(&std::fs::read(&console)?).into_owned();
        let tail: Vec<&str> = console.lines().rev().take(20).collect();
        for line in tail.iter().rev() {
            println!("console: {line}");
        }
        bail!("the guest did not come to its end");
    }
    Ok(text)
}

fn judge(scripts: &[PathBuf], out: &str) -> Result<()> {
    let mut failed = Vec::new();
    let mut passed = 0;
    for script in scripts {
        let name = script
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let begin = format!("## tests/{name}");
        let body = out
            .split(&begin)
            .nth(1)
            .unwrap_or("")
            .split("## end")
            .next()
            .unwrap_or("");
        let ok = body.lines().filter(|l| l.starts_with("ok ")).count();
        let bad = body.lines().filter(|l| l.starts_with("not ok")).count();
        passed += ok;
        if ok == 0 || bad > 0 || !out.contains(&format!("## end tests/{name} 0")) {
            println!("{body}");
            failed.push(name);
        } else {
            for line in body.lines().filter(|l| l.starts_with("ok ")) {
                println!("vm: {line}");
            }
        }
    }
    if failed.is_empty() {
        println!("vm: {passed} cases passed in the guest");
        Ok(())
    } else {
        bail!("failed in the guest: {}", failed.join(", "))
    }
}
