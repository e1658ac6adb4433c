//! Extensions of a running host, through its control socket.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use probity_host::control::{self, Request};
use semver::Version;
use serde_json::Value;

use super::Refused;
use super::dependencies::{self, Graph, Loaded};
use crate::output;

/// A host, by its socket.
pub struct Host {
    pub socket: PathBuf,
}

impl Host {
    pub fn ask(&self, request: &Request, bytes: &[u8]) -> Result<Value> {
        let answer = control::request(&self.socket, request, bytes)
            .with_context(|| format!("the host at {}", self.socket.display()))?;
        answer.map_err(|no| Refused::error(no.why, no.status))
    }

    /// Loads a package and what it depends on, or an object; gives the last answer.
    pub fn load(
        &self,
        path: &Path,
        name: Option<String>,
        priority: i32,
        directories: &[PathBuf],
    ) -> Result<Value> {
        let bytes = match path.is_dir() {
            true => Vec::new(),
            false => probity_store::read(path)?,
        };
        let load = |name: String, bytes: &[u8]| {
            let request = Request::Load {
                name,
                priority,
                bytes: bytes.len() as u64,
            };
            self.ask(&request, bytes)
        };
        let name = || name.map_or_else(|| stem(path), Ok);
        if bytes.starts_with(b"\x7fELF") {
            let name = name()?;
            let answer = load(name.clone(), &bytes)?;
            output::note(format_args!("loaded {name}"));
            return Ok(answer);
        }
        // What cannot be read is for the host to refuse, which writes that down.
        let package = match path.is_dir() {
            true => probity_store::package::read(path)?,
            false => match probity_store::package::open(&bytes) {
                Ok(package) => package,
                Err(_) => return load(String::new(), &bytes),
            },
        };
        let loaded = self.loaded()?;
        let mut last = Value::Null;
        for package in dependencies::order(package, directories, &loaded)? {
            last = load(String::new(), &package.to_bytes())?;
            output::note(format_args!("loaded {}", package.manifest().title()));
        }
        Ok(last)
    }

    fn extensions(&self) -> Result<Vec<Value>> {
        let mut all = self.ask(&Request::List, &[])?;
        Ok(match all["extensions"].take() {
            Value::Array(all) => all,
            _ => Vec::new(),
        })
    }

    fn loaded(&self) -> Result<Loaded> {
        let version = |e: &Value| e["version"].as_str().and_then(|v| Version::parse(v).ok());
        let all = self.extensions()?;
        Ok(all
            .iter()
            .filter_map(|e| Some((e["name"].as_str()?.to_owned(), version(e))))
            .collect())
    }

    pub fn graph(&self) -> Result<Graph> {
        let below = |e: &Value| {
            let all = e["dependencies"].as_object().into_iter().flatten();
            let mut all: std::collections::BTreeMap<String, String> = all
                .map(|(n, r)| (n.clone(), r.as_str().unwrap_or("").to_owned()))
                .collect();
            // Those without a manifest depend on whom they call.
            for name in e["imports"].as_array().into_iter().flatten() {
                all.entry(name.as_str().unwrap_or("?").to_owned())
                    .or_default();
            }
            all
        };
        let all = self.extensions()?;
        Ok(all
            .iter()
            .filter_map(|e| Some((e["name"].as_str()?.to_owned(), below(e))))
            .collect())
    }
}

pub fn stem(path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|s| s.to_str());
    Ok(stem
        .context("the file has no name; give one with --name")?
        .to_string())
}
