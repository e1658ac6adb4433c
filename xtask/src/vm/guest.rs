//! The guest: its file system, and its run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sh;

const TIME_LIMIT: Duration = Duration::from_secs(1800);

const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox --install -s /bin; export PATH=/bin HOME=/root
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /tmp
mount -t tracefs t /sys/kernel/tracing; mount -t bpf bpf /sys/fs/bpf
mkdir -p /sys/fs/cgroup; mount -t cgroup2 c /sys/fs/cgroup; ip link set lo up
exec >/dev/ttyS1 2>&1 </dev/null; stty -F /dev/ttyS1 raw 2>/dev/null
cd /probity
for t in tests/*.sh; do echo \"## $t\"; timeout 1500 sh $t; echo \"## end $t $?\"; done
echo '## all done'
sync; poweroff -f
";

/// What a guest has besides `programs/`.
pub struct Files<'a> {
    /// Run one after the other, as `tests/NAME`.
    pub scripts: &'a [PathBuf],
    /// Programs beside `probity`, as `bin/NAME` or, of cargo's tests, `tables/NAME`.
    pub programs: &'a [PathBuf],
    /// Other files, and where they go.
    pub data: &'a [(PathBuf, String)],
}

pub fn initramfs(work: &Path, files: &Files<'_>) -> Result<PathBuf> {
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
        "probity/tables",
    ] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    let busybox = sh::output(Command::new("sh").args(["-c", "command -v busybox"]))?;
    std::fs::copy(busybox.trim(), root.join("bin/busybox"))?;
    let probity = sh::target_dir().join("debug/probity");
    small_copy(&probity, &root.join("bin/probity"))?;
    for program in files.programs {
        let name = program.file_name().context("a name")?.to_string_lossy();
        // Cargo appends a hash to its tests' names.
        let to = match name.split_once('-') {
            Some((test, _)) => format!("probity/tables/{test}"),
            None => format!("bin/{name}"),
        };
        match name.contains('-') {
            true => small_copy(program, &root.join(to))?,
            false => drop(std::fs::copy(program, root.join(to))?),
        }
    }
    for (from, to) in files.data {
        let to = root.join("probity").join(to);
        std::fs::create_dir_all(to.parent().context("a directory")?)?;
        std::fs::copy(from, to)?;
    }
    for program in files.programs.iter().chain([&probity]) {
        // Of a program without libraries it says so and fails.
        let said = Command::new("ldd").arg(program).output()?;
        for library in String::from_utf8_lossy(&said.stdout)
            .split_whitespace()
            .filter(|w| w.starts_with('/'))
        {
            let to = root.join(library.trim_start_matches('/'));
            std::fs::create_dir_all(to.parent().context("library path")?)?;
            std::fs::copy(library, to)?;
        }
    }
    sh::run(
        Command::new("cp")
            .args(["-r", "programs"])
            .arg(root.join("probity/programs")),
    )?;
    for script in files.scripts {
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

/// A copy without debug information, where that can be had: an emulated machine unpacks it.
fn small_copy(from: &Path, to: &Path) -> Result<()> {
    let mut strip = Command::new("strip");
    let stripped = strip.arg("-o").arg(to).arg(from).status();
    if !stripped.is_ok_and(|s| s.success()) {
        std::fs::copy(from, to)?;
    }
    Ok(())
}

/// Boots the kernel; what its scripts print. An emulator that fails on its way is given a second try, and that is said.
pub fn boot(kernel: &Path, initramfs: &Path, work: &Path) -> Result<String> {
    match boot_once(kernel, initramfs, work) {
        Err(e) => println!("vm: {e:#}; once more"),
        done => return done,
    }
    boot_once(kernel, initramfs, work)
}

fn boot_once(kernel: &Path, initramfs: &Path, work: &Path) -> Result<String> {
    // The file system is in memory, packed and unpacked.
    let packed = std::fs::metadata(initramfs)?.len() >> 20;
    let memory = (1024 + packed * 8).to_string();
    let out = work.join("out");
    let console = work.join("console");
    std::fs::write(&out, "")?;
    // One thread for both processors: with two, one goes on in code that the other has patched and waited for, and the
    // kernel dies of a breakpoint that nobody has set.
    let mut qemu = Command::new("qemu-system-x86_64")
        .args([
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            &memory,
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
        let console = std::fs::read(&console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console).into_owned();
        let tail: Vec<&str> = console.lines().rev().take(40).collect();
        for line in tail.iter().rev() {
            println!("console: {line}");
        }
        match status {
            Some(status) => bail!("the guest did not come to its end ({status})"),
            None => bail!(
                "the guest took longer than {} minutes",
                TIME_LIMIT.as_secs() / 60
            ),
        }
    }
    Ok(text)
}
