//! Packs the release binaries into an OCI image archive: operator and calendar store, certificates of public authorities, a user,
//! the licence and a bill of materials, and nothing else. The same sources give the same bytes.
//!
//! `make image` builds the binaries first. Any registry client takes the archive (`skopeo copy oci-archive:… docker://…`), and so
//! does containerd (`ctr images import`).

#![allow(clippy::print_stdout)]

mod layout;
mod materials;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use clap::Parser;

use layout::{File, Image};

/// What the image runs by itself.
const ENTRYPOINT: &str = env!("CARGO_PKG_NAME");

/// Writes the image of the operator as an OCI archive.
#[derive(Debug, Parser)]
struct Arguments {
    /// A static binary; it lies at the root, by its name. Can be given several times.
    #[arg(long, required = true)]
    binary: Vec<PathBuf>,
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
    let mut files = arguments.binary.iter().map(|path| executable(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let programs: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    ensure!(programs.contains(&ENTRYPOINT), "--binary {ENTRYPOINT} is missing: it is what the image runs");
    let materials = materials::cyclonedx(&arguments.revision, &programs)?;
    let text = |path: &str, content: Vec<u8>| File { path: path.to_owned(), executable: false, content };
    files.extend([
        text("etc/group", b"nonroot:x:65532:\n".to_vec()),
        text("etc/passwd", b"nonroot:x:65532:65532::/:/sbin/nologin\n".to_vec()),
        text("etc/ssl/certs/ca-certificates.crt", authorities().into_bytes()),
        text("usr/share/doc/LICENSE", include_bytes!("../../LICENSE").to_vec()),
        text("usr/share/sbom/cronofy-operator.cdx.json", materials.clone().into_bytes()),
    ]);
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

/// A program at the root of the image.
fn executable(path: &Path) -> anyhow::Result<File> {
    let place = || path.display().to_string();
    let content = fs::read(path).with_context(place)?;
    layout::assert_static(&content).with_context(place)?;
    let name = path.file_name().and_then(|name| name.to_str()).with_context(place)?;
    Ok(File { path: name.to_owned(), executable: true, content })
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
