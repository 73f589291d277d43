//! The image of the container that holds a pod's namespaces.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Error;

/// The name that containerd is told.
pub(super) const PAUSE: &str = "localhost/pause:1";

/// Writes an image of one static program, in the form that `docker save` gives.
pub(super) fn write(program: &Path, archive: &Path) -> Result<(), Error> {
    let io = || Error::io("make the image of the pause container");
    let layer = tar(&[("pause", &std::fs::read(program).map_err(io())?)]).map_err(io())?;
    let digest = Sha256::digest(&layer).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Entrypoint": ["/pause"], "User": "65535:65535" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"] }]);
    let image = tar(&[
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", &layer),
        ("manifest.json", manifest.to_string().as_bytes()),
    ]);
    std::fs::write(archive, image.map_err(io())?).map_err(io())
}

fn tar(files: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, *content)?;
    }
    archive.into_inner()
}
