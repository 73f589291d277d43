//! An image of one layer in the layout of the OCI image specification, as a tar archive.

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::{Context as _, ensure};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The user that it runs as, by number: Kubernetes can tell then that it is not root.
const USER: &str = "65532:65532";
/// The most that the archive may be: it is pulled on every node.
const MOST_BYTES: usize = 25_000_000;

/// A file of the layer.
pub struct File {
    /// Without a slash at its beginning.
    pub path: String,
    pub executable: bool,
    pub content: Vec<u8>,
}

/// What the image is called, and made from.
pub struct Image<'a> {
    pub name: &'a str,
    pub revision: &'a str,
    pub epoch: i64,
}

/// The archive, and the digest by which it is known in a registry.
pub struct Archive {
    pub bytes: Vec<u8>,
    pub digest: String,
}

impl Image<'_> {
    pub fn archive(&self, files: &[File]) -> anyhow::Result<Archive> {
        let layer = layer(files)?;
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(&layer)?;
        let compressed = gzip.finish()?;

        let config = self.config(&digest(&layer))?;
        let config = serde_json::to_vec(&config)?;
        let descriptor = |kind: &str, blob: &[u8]| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(blob), "size": blob.len() });
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", &config),
            "layers": [descriptor("layer.v1.tar+gzip", &compressed)],
            "annotations": self.labels(),
        }))?;
        let tag = self.name.rsplit_once(':').context("the image's name has a tag")?.1;
        let entry = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(&manifest),
            "size": manifest.len(),
            "platform": { "architecture": architecture()?, "os": "linux" },
            "annotations": { "io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": tag },
        });
        let index = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        }))?;

        let blob = |content: &[u8]| format!("blobs/sha256/{}", hex(content));
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        let bytes = tar(&[
            (blob(&compressed), 0o644, &compressed),
            (blob(&config), 0o644, &config),
            (blob(&manifest), 0o644, &manifest),
            ("index.json".to_owned(), 0o644, &index),
            ("oci-layout".to_owned(), 0o644, &layout),
        ])?;
        ensure!(bytes.len() <= MOST_BYTES, "the image has {} bytes, more than {MOST_BYTES}", bytes.len());
        Ok(Archive { bytes, digest: digest(&manifest) })
    }

    fn labels(&self) -> Value {
        json!({
            "org.opencontainers.image.title": "cronofy-operator",
            "org.opencontainers.image.description": env!("CARGO_PKG_DESCRIPTION"),
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            "org.opencontainers.image.revision": self.revision,
            "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        })
    }

    fn config(&self, layer: &str) -> anyhow::Result<Value> {
        let created = jiff::Timestamp::from_second(self.epoch)?.to_string();
        Ok(json!({
            "architecture": architecture()?,
            "os": "linux",
            "created": created,
            "config": {
                "User": USER,
                "Entrypoint": ["/cronofy-operator"],
                "Cmd": ["run"],
                "Env": ["SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
                "ExposedPorts": { "8080/tcp": {}, "8443/tcp": {}, "9090/tcp": {} },
                "Labels": self.labels(),
            },
            "rootfs": { "type": "layers", "diff_ids": [layer] },
            "history": [{ "created": created, "created_by": "make image" }],
        }))
    }
}

/// The files with the folders above them.
fn layer(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let empty = Vec::new();
    let mut entries: BTreeSet<String> = BTreeSet::new();
    for file in files {
        let folders = file.path.match_indices('/').filter_map(|(at, _)| file.path.get(..=at));
        entries.extend(folders.map(ToOwned::to_owned));
    }
    let mut all: Vec<(String, u32, &Vec<u8>)> = entries.into_iter().map(|folder| (folder, 0o755, &empty)).collect();
    for file in files {
        all.push((file.path.clone(), if file.executable { 0o755 } else { 0o644 }, &file.content));
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    tar(&all)
}

/// An archive that says nothing of who made it, and when.
fn tar(entries: &[(String, u32, &Vec<u8>)]) -> anyhow::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(u64::try_from(content.len())?);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        tar.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(tar.into_inner()?)
}

fn architecture() -> anyhow::Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => anyhow::bail!("no image is made for {other}"),
    }
}

fn hex(content: &[u8]) -> String {
    calendar_sync::hex(&Sha256::digest(content))
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(content))
}

/// A binary that needs a loader would not start in an image that has none.
pub fn assert_static(binary: &[u8]) -> anyhow::Result<()> {
    ensure!(binary.starts_with(b"\x7fELF"), "the binary is none for Linux");
    let needs_loader = binary.windows(9).take(64 * 1024).any(|window| window == b"ld-linux-" || window == b"ld-musl-x");
    ensure!(!needs_loader, "the binary is not static");
    Ok(())
}
