//! A package ⇄ an OCI image layout, labelled as bpfman labels bytecode images, so that registries carry it.
//!
//! The image has one layer, a compressed tar: `NAME.o` at its root, which is all that bpfman takes; then
//! `probity/manifest`, `probity/data/NAME…` and, when it is signed, `probity/signature`: the parts of a package.
//! The labels `io.ebpf.programs` and `io.ebpf.maps` are JSON objects, name → kind.
//!
//! What wraps the parts is for carriers, and they may change it (names, annotations, compression); nothing of it is
//! believed. Every blob is held against its digest, and the parts are read as [`Package::open`] reads them.
//!
//! **Invariant:** the same package gives the same layout, byte by byte; no input makes reading it take more
//! memory than [`Package::LARGEST`] allows.
//!
//! Source: the OCI image specification 1.1; bpfman's "eBPF Bytecode Image Specifications".

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use oci_spec::image::{
    Arch, ConfigBuilder, DescriptorBuilder, ImageConfigurationBuilder, ImageIndex,
    ImageIndexBuilder, ImageManifest, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os,
    RootFsBuilder, Sha256Digest,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Digest, Error, Hook, Manifest, Package};

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const MANIFEST: &str = "probity/manifest";
const DATA: &str = "probity/data/";
const SIGNATURE: &str = "probity/signature";
const LABEL_PROGRAMS: &str = "io.ebpf.programs";
const LABEL_MAPS: &str = "io.ebpf.maps";
/// Entries of a tar; a package has one for each of its data and three more.
const MOST_ENTRIES: usize = 4096;
/// What documents and tar headers add to a package.
const WRAPPING: u64 = 16 << 20;

/// The files of an image layout, by path.
pub fn layout(package: &Package) -> Result<Files, Error> {
    let mut files = Files::new();
    let m = package.manifest();
    let tar = tar(&parts(package))?;
    let config = ImageConfigurationBuilder::default()
        // As images built elsewhere have it: bytecode runs on any, and bpfman looks at the object alone.
        .architecture(Arch::Amd64)
        .os(Os::Linux)
        .config(
            ConfigBuilder::default()
                .labels(labels(m)?)
                .build()
                .map_err(spec)?,
        )
        .rootfs(
            RootFsBuilder::default()
                .typ("layers")
                .diff_ids(vec![Digest::of(&tar).to_string()])
                .build()
                .map_err(spec)?,
        )
        .build()
        .map_err(spec)?;
    let config = blob(&mut files, MediaType::ImageConfig, json(&config)?)?;
    let layer = blob(&mut files, MediaType::ImageLayerGzip, gzip(&tar)?)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config.build().map_err(spec)?)
        .layers(vec![layer.build().map_err(spec)?])
        .annotations(annotations(m))
        .build()
        .map_err(spec)?;
    let manifest = blob(&mut files, MediaType::ImageManifest, json(&manifest)?)?;
    let reference = ("org.opencontainers.image.ref.name".to_owned(), tag(m));
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![
            manifest
                .annotations(HashMap::from([reference]))
                .build()
                .map_err(spec)?,
        ])
        .build()
        .map_err(spec)?;
    files.insert(INDEX.into(), json(&index)?);
    let version = OciLayoutBuilder::default()
        .image_layout_version("1.0.0")
        .build()
        .map_err(spec)?;
    files.insert(LAYOUT.into(), json(&version)?);
    Ok(files)
}

/// The same layout as one file.
pub fn layout_tar(package: &Package) -> Result<Vec<u8>, Error> {
    // What says that it is a layout comes first.
    let mut files = layout(package)?;
    let first =
        [LAYOUT, INDEX].map(|name| (name.to_owned(), files.remove(name).unwrap_or_default()));
    let all: Vec<_> = first.into_iter().chain(files).collect();
    tar(&all)
}

/// The package of a layout; `file` gives a file of it by its path, if it is there.
pub fn open(
    file: &mut dyn FnMut(&str) -> Result<Option<Vec<u8>>, Error>,
) -> Result<Package, Error> {
    let mut must = |path: &str| {
        let found = file(path)?;
        found.ok_or_else(|| Error::image(format!("`{path}` is missing")))
    };
    must(LAYOUT)?;
    let index: ImageIndex = parse(INDEX, &must(INDEX)?)?;
    let [manifest] = &index.manifests()[..] else {
        let n = index.manifests().len();
        return Err(Error::image(format!(
            "{n} images in the layout instead of one"
        )));
    };
    let mut held = |d: &oci_spec::image::Descriptor| {
        let digest: Digest = d.digest().to_string().parse().map_err(Error::Image)?;
        let path = format!("blobs/sha256/{}", digest.hex());
        let bytes = must(&path)?;
        if bytes.len() as u64 != d.size() || Digest::of(&bytes) != digest {
            return Err(Error::image(format!(
                "`{path}` is not what it is said to be: it was changed or cut short"
            )));
        }
        Ok(bytes)
    };
    let manifest: ImageManifest = parse("the image's manifest", &held(manifest)?)?;
    // Its labels are for others; that it is whole is checked all the same.
    held(manifest.config())?;
    let [layer] = &manifest.layers()[..] else {
        let n = manifest.layers().len();
        return Err(Error::image(format!("{n} layers instead of one")));
    };
    let bytes = held(layer)?;
    let kind = layer.media_type().to_string();
    let tar = if kind.ends_with("tar+gzip") || kind.ends_with("tar.gzip") {
        gunzip(&bytes)?
    } else if kind.ends_with(".tar") {
        bytes
    } else {
        return Err(Error::image(format!("a layer of the kind `{kind}`")));
    };
    package(untar(&tar)?)
}

/// The package of a layout in one file.
pub fn open_tar(bytes: &[u8]) -> Result<Package, Error> {
    let files = untar(bytes)?;
    open(&mut |path| Ok(files.get(path).cloned()))
}

fn parts(package: &Package) -> Vec<(String, Vec<u8>)> {
    let m = package.manifest();
    let mut parts = vec![
        (format!("{}.o", m.name), package.object_bytes().to_vec()),
        (MANIFEST.to_owned(), m.to_bytes()),
    ];
    for (name, bytes) in package.data() {
        parts.push((format!("{DATA}{name}"), bytes.clone()));
    }
    if let Some(signature) = package.signature() {
        parts.push((SIGNATURE.to_owned(), signature.to_bytes()));
    }
    parts
}

fn package(mut parts: Files) -> Result<Package, Error> {
    let manifest = parts.remove(MANIFEST).ok_or_else(|| {
        Error::image(format!(
            "no `{MANIFEST}` in it: an image, but no package of Probity's"
        ))
    })?;
    let name = Manifest::from_bytes(&manifest)?.name;
    let object = format!("{name}.o");
    let object = parts
        .remove(&object)
        .ok_or_else(|| Error::image(format!("no `{object}` in it")))?;
    let signature = parts.remove(SIGNATURE);
    let mut data = BTreeMap::new();
    for (path, bytes) in parts {
        let Some(name) = path.strip_prefix(DATA) else {
            return Err(Error::image(format!(
                "`{path}` does not belong in a package"
            )));
        };
        data.insert(name.to_owned(), bytes);
    }
    Package::from_parts(&manifest, object.into(), data, signature.as_deref())
}

fn tag(m: &Manifest) -> String {
    // Tags have no `+`.
    m.version.to_string().replace('+', "_")
}

fn labels(m: &Manifest) -> Result<HashMap<String, String>, Error> {
    let programs: Map<String, Value> = m
        .hooks
        .iter()
        .map(|h| (h.program.clone(), bpfman_kind(h).into()))
        .collect();
    // Those that are made from data sections are no concern of whoever manages maps.
    let maps: Map<String, Value> = m
        .maps
        .iter()
        .filter(|m| !m.name.starts_with('.'))
        .map(|m| (m.name.clone(), m.kind.replace("percpu", "per_cpu").into()))
        .collect();
    Ok(HashMap::from([
        (LABEL_PROGRAMS.to_owned(), Value::from(programs).to_string()),
        (LABEL_MAPS.to_owned(), Value::from(maps).to_string()),
    ]))
}

/// bpfman names kinds by what they are attached to.
fn bpfman_kind(hook: &Hook) -> String {
    let word = hook
        .section
        .trim_start_matches('?')
        .split(['/', '.'])
        .next();
    let word = match word.unwrap_or("") {
        "tc" | "classifier" => "tc",
        "kprobe" | "kretprobe" => "kprobe",
        "uprobe" | "uretprobe" => "uprobe",
        word @ ("tcx" | "fentry" | "fexit" | "xdp") => word,
        _ => &hook.kind,
    };
    word.to_owned()
}

fn annotations(m: &Manifest) -> HashMap<String, String> {
    let named = [
        ("title", m.name.clone()),
        ("version", m.version.to_string()),
        ("authors", m.authors.join(", ")),
        ("licenses", m.license.clone()),
        ("description", m.description.clone()),
    ];
    named
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value))
        .collect()
}

fn spec(error: oci_spec::OciSpecError) -> Error {
    Error::image(error.to_string())
}

/// Keys in order, whatever order the maps have them in.
fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut value = serde_json::to_value(value).map_err(|e| Error::image(e.to_string()))?;
    value.sort_all_objects();
    Ok(value.to_string().into_bytes())
}

fn parse<'a, T: serde::Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::image(format!("{what}: {e}")))
}

fn blob(files: &mut Files, kind: MediaType, bytes: Vec<u8>) -> Result<DescriptorBuilder, Error> {
    let hex = Digest::of(&bytes).hex();
    let digest: Sha256Digest = hex.parse().map_err(spec)?;
    let descriptor = DescriptorBuilder::default()
        .media_type(kind)
        .size(bytes.len() as u64)
        .digest(digest);
    files.insert(format!("blobs/sha256/{hex}"), bytes);
    Ok(descriptor)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .map_err(|e| Error::image(e.to_string()))
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let max = Package::LARGEST + WRAPPING;
    let mut plain = Vec::new();
    GzDecoder::new(bytes)
        .take(max + 1)
        .read_to_end(&mut plain)
        .map_err(|e| Error::image(format!("the layer cannot be unpacked: {e}")))?;
    match plain.len() as u64 > max {
        true => Err(Error::TooBig {
            what: "the image's layer".into(),
            size: plain.len() as u64,
            max,
        }),
        false => Ok(plain),
    }
}

fn tar<'a>(files: impl IntoIterator<Item = &'a (String, Vec<u8>)>) -> Result<Vec<u8>, Error> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        builder
            .append_data(&mut header, path, &bytes[..])
            .map_err(|e| Error::image(e.to_string()))?;
    }
    builder
        .into_inner()
        .map_err(|e| Error::image(e.to_string()))
}

/// Regular files only, each path once; directories are passed over.
fn untar(bytes: &[u8]) -> Result<Files, Error> {
    let broken = |e: std::io::Error| Error::image(format!("a malformed tar: {e}"));
    let mut files = Files::new();
    let mut archive = tar::Archive::new(bytes);
    for (n, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.trim_start_matches("./").to_owned();
        if n >= MOST_ENTRIES {
            return Err(Error::image("a tar of more files than a package has"));
        }
        match entry.header().entry_type() {
            tar::EntryType::Directory => continue,
            tar::EntryType::Regular | tar::EntryType::Continuous => {}
            _ => return Err(Error::image(format!("`{path}` is not a plain file"))),
        }
        // No more than the tar has, whatever the entry says.
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        if content.len() as u64 != entry.size() {
            return Err(Error::image(format!("`{path}` is cut short")));
        }
        if files.insert(path.clone(), content).is_some() {
            return Err(Error::image(format!("`{path}` is there twice")));
        }
    }
    Ok(files)
}
