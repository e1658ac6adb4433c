//! Packages as images.

use probity_bundle::{Package, Time, Versions, oci};
use serde_json::Value;

use crate::{Rng, sealed, signed, trust};

#[test]
fn both_forms_hold_the_package() {
    for package in [signed(), sealed().unsigned()] {
        let files = oci::layout(&package).unwrap();
        assert_eq!(oci::layout(&package).unwrap(), files, "not the same twice");
        let read = oci::open(&mut |path| Ok(files.get(path).cloned())).unwrap();
        assert_eq!(read, package);
        assert_eq!(
            oci::open_tar(&oci::layout_tar(&package).unwrap()).unwrap(),
            package
        );
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// What bpfman's reader does: labels of the configuration, the first file of the only layer.
#[test]
fn bpfman_finds_what_it_looks_for() {
    let package = signed();
    let files = oci::layout(&package).unwrap();
    let blob = |d: &Value| {
        let digest = d["digest"].as_str().unwrap();
        &files[&format!("blobs/sha256/{}", digest.strip_prefix("sha256:").unwrap())]
    };
    assert_eq!(json(&files["oci-layout"])["imageLayoutVersion"], "1.0.0");
    let index = json(&files["index.json"]);
    let entry = &index["manifests"][0];
    assert_eq!(
        entry["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"],
        "1.2.0"
    );
    let manifest = json(blob(entry));
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.image.config.v1+json"
    );
    let [layer] = &manifest["layers"].as_array().unwrap()[..] else {
        panic!("{manifest}")
    };
    assert_eq!(
        layer["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    assert_eq!(layer["size"], blob(layer).len());

    let config = json(blob(&manifest["config"]));
    let labels = &config["config"]["Labels"];
    let label = |name: &str| json(labels[name].as_str().unwrap().as_bytes());
    assert_eq!(
        label("io.ebpf.programs"),
        serde_json::json!({ "tc_meter": "tc" })
    );
    assert_eq!(
        label("io.ebpf.maps"),
        serde_json::json!({ "flows": "lru_hash" })
    );

    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&blob(layer)[..]));
    let mut first = tar.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(first.path().unwrap().to_str(), Some("meter.o"));
    let mut object = Vec::new();
    std::io::Read::read_to_end(&mut first, &mut object).unwrap();
    assert_eq!(object, **package.object_bytes());
    let diff = &config["rootfs"]["diff_ids"][0];
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&blob(layer)[..]);
    std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
    assert_eq!(
        diff,
        &Value::from(probity_bundle::Digest::of(&plain).to_string())
    );
}

/// The wrapping is not signed; but whatever is accepted is the package that was signed.
#[test]
fn a_flipped_byte_is_refused_or_changes_nothing() {
    let package = signed();
    let bytes = oci::layout_tar(&package).unwrap();
    let mut r = Rng::seeded();
    let (mut same, mut refused) = (0, 0);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << r.below(8);
        match oci::open_tar(&changed) {
            Ok(read) if trust().judge(&read, &Versions::default(), Time(1)).accepted => {
                assert_eq!(read, package, "byte {at}");
                same += 1;
            }
            _ => refused += 1,
        }
    }
    println!("{same} without effect, {refused} refused");
    assert!(refused > bytes.len() / 3);
}

#[test]
fn what_is_no_package_says_so() {
    let package = signed();
    let mut files = oci::layout(&package).unwrap();
    let open = |files: &oci::Files| {
        oci::open(&mut |path| Ok(files.get(path).cloned()))
            .unwrap_err()
            .to_string()
    };
    files.remove("oci-layout");
    assert!(open(&files).contains("oci-layout"));
    let mut files = oci::layout(&package).unwrap();
    for (path, bytes) in &mut files {
        if path.starts_with("blobs/") && bytes.starts_with(&[0x1f, 0x8b]) {
            bytes.push(0);
        }
    }
    assert!(open(&files).contains("cut short"));
    assert!(oci::open_tar(b"nothing").is_err());
    assert!(
        Package::open(b"nothing")
            .unwrap_err()
            .to_string()
            .contains("not a package")
    );
}
