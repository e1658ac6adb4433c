//! `probity key …`: keys, keyrings and revocations.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use probity_bundle::{Digest, Entry, PublicKey, SecretKey, Time};
use serde_json::json;

use super::pack;
use crate::package::{BUILTIN, REVOKED, SECONDARY, TrustDir};
use crate::{input, output, package, store};

/// Make keys that sign packages, and say which are trusted
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity key generate vendor                vendor.key to keep, and vendor.pub to give away
  probity key add vendor.pub                 trust it: into builtin.keys
  probity key add other.pub --ring secondary --by vendor.key --until 2027-12-31
  probity key list
  probity key revoke other --reason \"lost with a laptop\"
  probity key revoke sha256:6b1c… --reason \"crashes the gateway\"

Keyrings and the list of revocations are text, a line a key, in the directory of --trust.
A key of the secondary keyring counts when a key of the builtin one vouches for it (--by).")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new key pair: NAME.key and NAME.pub
    Generate {
        /// Whose it is: letters, digits, `-`, `_`, `.`
        name: String,
        /// Directory that the two files go to
        #[arg(short, long, value_name = "DIR", default_value = ".")]
        output: PathBuf,
    },
    /// Trust a public key
    Add {
        /// The file that `generate` wrote (.pub)
        file: PathBuf,
        /// Which keyring it goes into
        #[arg(long, value_enum, default_value_t = Ring::Builtin)]
        ring: Ring,
        /// The private key of the builtin keyring that vouches for it
        #[arg(long, value_name = "FILE", required_if_eq("ring", "secondary"))]
        by: Option<PathBuf>,
        /// It does not count from then on
        #[arg(long, value_name = "TIME", value_parser = package::time)]
        until: Option<Time>,
        #[command(flatten)]
        trust: TrustDir,
    },
    /// Show the keys that are trusted, and what is revoked
    List {
        /// One JSON object a line: ring name key until by, or revoked reason
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        trust: TrustDir,
    },
    /// Trust a key, a package or an object no longer
    Revoke {
        /// A key's name in a keyring, ed25519:HEX, or sha256:HEX of a package or an object
        what: String,
        /// Why, for those who meet it
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        #[command(flatten)]
        trust: TrustDir,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ring {
    Builtin,
    Secondary,
}

impl Ring {
    const ALL: [Ring; 2] = [Ring::Builtin, Ring::Secondary];

    fn file(self) -> &'static str {
        match self {
            Ring::Builtin => BUILTIN,
            Ring::Secondary => SECONDARY,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Ring::Builtin => "builtin",
            Ring::Secondary => "secondary",
        }
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Generate { name, output } => generate(&name, output)?,
        Command::Add {
            file,
            ring,
            by,
            until,
            trust,
        } => add(file, ring, by, until, &trust)?,
        Command::List { json, trust } => list(json, &trust)?,
        Command::Revoke {
            what,
            reason,
            trust,
        } => revoke(&what, &reason, &trust)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn generate(name: &str, dir: PathBuf) -> Result<()> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
    let key = SecretKey::from_seed(name, &seed)?;
    let [secret, public] = ["key", "pub"].map(|kind| dir.join(format!("{name}.{kind}")));
    if let Some(there) = [&secret, &public].into_iter().find(|p| p.exists()) {
        bail!(
            "{} is there already: a key is never overwritten",
            there.display()
        );
    }
    store::replace(&secret, key.to_text().as_bytes(), 0o600)?;
    store::replace(
        &public,
        format!("{name} {}\n", key.public()).as_bytes(),
        0o644,
    )?;
    output::note(format_args!(
        "{}: keep it to yourself; {}: give it to those who are to trust you",
        secret.display(),
        public.display()
    ));
    Ok(())
}

fn add(
    file: PathBuf,
    ring: Ring,
    by: Option<PathBuf>,
    until: Option<Time>,
    trust: &TrustDir,
) -> Result<()> {
    let entry = Entry::parse(&input::read_text(&file)?)
        .with_context(|| format!("in {}", file.display()))?;
    let until = until.or(entry.until);
    let mut entry = Entry {
        until,
        endorsement: None,
        ..entry
    };
    let _lock = store::lock(&trust.dir)?;
    if let Some(by) = by {
        if ring == Ring::Builtin {
            bail!(
                "a builtin key needs nobody to vouch for it: leave out --by, or say --ring secondary"
            );
        }
        let by = pack::secret(&by)?;
        if trust.keyring(BUILTIN)?.get(&by.public()).is_none() {
            bail!(
                "the key of {} is not in the builtin keyring, so its word counts for nothing",
                by.name
            );
        }
        entry = by.endorse(&entry);
    }
    if trust.revoked()?.key(&entry.key).is_some() {
        bail!(
            "{} is revoked: take it out of the list of revocations first, if that was a mistake",
            entry.key
        );
    }
    for other in Ring::ALL {
        if let Err(there) = trust.keyring(other.file())?.add(entry.clone()) {
            bail!("the {} keyring: {there}", other.name());
        }
    }
    // What people wrote in it stays.
    let path = trust.dir.join(ring.file());
    let mut text = store::read_guarded(&path)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text += &format!("{entry}\n");
    store::replace(&path, text.as_bytes(), 0o644)?;
    output::note(format_args!(
        "{}: {} is trusted",
        path.display(),
        entry.name
    ));
    Ok(())
}

fn list(json: bool, trust: &TrustDir) -> Result<()> {
    let revoked = trust.revoked()?;
    for ring in Ring::ALL {
        for e in trust.keyring(ring.file())?.entries() {
            let by = e.endorsement.as_ref().map(|e| e.by);
            if json {
                output::json(&json!({
                    "ring": ring.name(), "name": e.name, "key": e.key, "until": e.until, "by": by,
                }))?;
                continue;
            }
            let mut line = format!("{:<10} {:<16} {}", ring.name(), e.name, e.key);
            if let Some(until) = e.until {
                line += &format!(" until {until}");
            }
            if revoked.key(&e.key).is_some() {
                line += " (revoked)";
            } else if e.until.is_some_and(|t| t <= store::now()) {
                line += " (expired)";
            } else if ring == Ring::Secondary && !e.is_endorsed() {
                line += " (nobody vouches for it)";
            }
            output::line(line)?;
        }
    }
    for (what, reason) in revoked.iter() {
        match json {
            true => output::json(&json!({"revoked": what, "reason": reason}))?,
            false => output::line(format!("{:<10} {what} {reason}", "revoked").trim_end())?,
        }
    }
    Ok(())
}

fn revoke(what: &str, reason: &str, trust: &TrustDir) -> Result<()> {
    let _lock = store::lock(&trust.dir)?;
    let what = match what.parse::<PublicKey>().is_ok() || what.parse::<Digest>().is_ok() {
        true => what.to_owned(),
        false => {
            let mut found = None;
            for ring in Ring::ALL {
                found = found.or(trust.keyring(ring.file())?.named(what).map(|e| e.key));
            }
            match found {
                Some(key) => key.to_string(),
                None => bail!(
                    "`{what}` is no key's name in a keyring, no ed25519:HEX and no sha256:HEX"
                ),
            }
        }
    };
    // Whether it reads well is known before it is written.
    let mut all = trust.revoked()?;
    all.add(&what, reason).map_err(anyhow::Error::msg)?;
    let path = trust.dir.join(REVOKED);
    let mut text = store::read_guarded(&path)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let reason = reason
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('#', "");
    text += &format!("{what} {reason}\n");
    store::replace(&path, text.as_bytes(), 0o644)?;
    output::note(format_args!("{}: {what} is revoked", path.display()));
    Ok(())
}
