//! Packs the release binary into an OCI image archive: the binary, certificates of public authorities, a user, the licence and
//! a bill of materials, and nothing else. The same sources give the same bytes.
//!
//! `make image` builds the binary first. Any registry client takes the archive (`skopeo copy oci-archive:… docker://…`), and so
//! does containerd (`ctr images import`).

#![allow(clippy::print_stdout)]

mod layout;
mod materials;

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use clap::Parser;

use layout::{File, Image};

/// Writes the image of the operator as an OCI archive.
#[derive(Debug, Parser)]
struct Arguments {
    /// The static binary.
    #[arg(long)]
    binary: PathBuf,
    /// The archive to write.
    #[arg(long)]
    output: PathBuf,
    /// The image's name, with its tag.
    #[arg(long)]
    name: String,
    /// The commit that it is built from.
    #[arg(long)]
    revision: String,
    /// Seconds since 1970 at which it counts as made: the time of the commit.
    #[arg(long)]
    epoch: i64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let read = |path: &PathBuf| fs::read(path).with_context(|| path.display().to_string());
    let materials = materials::cyclonedx(&arguments.revision)?;
    let binary = read(&arguments.binary)?;
    layout::assert_static(&binary)?;
    let files = [
        File { path: "cronofy-operator", executable: true, content: binary },
        File { path: "etc/group", executable: false, content: b"nonroot:x:65532:\n".to_vec() },
        File { path: "etc/passwd", executable: false, content: b"nonroot:x:65532:65532::/:/sbin/nologin\n".to_vec() },
        File { path: "etc/ssl/certs/ca-certificates.crt", executable: false, content: authorities().into_bytes() },
        File { path: "usr/share/doc/LICENSE", executable: false, content: include_bytes!("../../LICENSE").to_vec() },
        File {
            path: "usr/share/sbom/cronofy-operator.cdx.json",
            executable: false,
            content: materials.clone().into_bytes(),
        },
    ];
    let image = Image { name: &arguments.name, revision: &arguments.revision, epoch: arguments.epoch };
    let archive = image.archive(&files)?;
    if let Some(folder) = arguments.output.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&arguments.output, &archive.bytes).with_context(|| arguments.output.display().to_string())?;
    let sbom = arguments.output.with_extension("cdx.json");
    fs::write(&sbom, materials)?;
    let megabytes = archive.bytes.len().div_ceil(100_000);
    println!(
        "{} {}.{} MB\n{} {}",
        arguments.output.display(),
        megabytes / 10,
        megabytes % 10,
        arguments.name,
        archive.digest
    );
    Ok(())
}

/// The certificates of the authorities that Mozilla trusts, as pinned in `Cargo.lock`.
fn authorities() -> String {
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let base64 = base64::engine::general_purpose::STANDARD.encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = base64.as_str();
        while let Some((line, more)) = rest.split_at_checked(64) {
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        if !rest.is_empty() {
            text.push_str(rest);
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}
