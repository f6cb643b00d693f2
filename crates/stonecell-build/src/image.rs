//! Disks and stemcells out of the finished tree: one disk for each set of infrastructures that want the same
//! bytes, then every wrapping of it, then the proof of origin over all of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stonecell_definition::iaas::{Iaas, ImageMember};
use stonecell_definition::manifest::{self, StemcellManifest};
use stonecell_image::convert::convert;
use stonecell_image::{
    BuiltImage, Compression, DiskFormat, ImageInput, SigningKey, StateFileSystem, build_image,
};
use stonecell_stemcell::facts::{Facts, Output};
use stonecell_stemcell::tree_tar::Layer;
use stonecell_stemcell::wrap::{self, Image, Members};
use stonecell_stemcell::{provenance, signature};
use uuid::Uuid;

use crate::BuildError;
use crate::formats;
use crate::inner::{iaas, io_at, make_directory};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::project::Project;
use crate::state::{self, StateTree};
use crate::tree::RootTree;
use crate::vcap;

/// What every disk has in common.
pub(crate) struct Common<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) project: &'a Project,
    pub(crate) facts: Facts,
    pub(crate) root: &'a Path,
    pub(crate) work: &'a Path,
    pub(crate) kernel: &'a Path,
    pub(crate) kernel_version: &'a str,
    pub(crate) initrd: &'a [u8],
    pub(crate) stub: Vec<u8>,
    pub(crate) os_release: &'a str,
    pub(crate) command_line: Vec<String>,
    pub(crate) packages_txt: String,
    pub(crate) namespace: Uuid,
}

/// Infrastructures that want the same disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variant {
    /// First of them: names the disk and fills the agent's slot.
    lead: Iaas,
    members: Vec<Iaas>,
    command_line: Vec<String>,
}

/// What every UUID of the image follows from. Not from the version: a machine keeps its state partitions when
/// the next version comes.
pub(crate) fn identity(namespace: &Uuid, project: &Project) -> Uuid {
    Uuid::new_v5(namespace, project.definition.name.as_bytes())
}

/// Makes every output in the plan's `done` directory.
///
/// # Errors
/// [`BuildError`].
pub(crate) fn make(common: &Common<'_>, progress: &dyn Progress) -> Result<(), BuildError> {
    let plan = common.plan;
    let names: Result<Vec<Iaas>, BuildError> = plan.iaas.iter().map(|name| iaas(name)).collect();
    let variants = variants(&names?, common);
    let targets: Vec<String> = common
        .project
        .definition
        .image
        .partitions
        .iter()
        .map(|partition| partition.mount.clone())
        .collect();
    let state_dir = common.work.join("state");
    make_directory(&state_dir)?;
    let mut outputs = Vec::new();
    let mut facts = common.facts.clone();
    // The agent's files differ by infrastructure and lie partly on /var: they are written before it is split off.
    let single = variants.len() == 1;
    let mut trees: Vec<StateTree> = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        let name = variant.lead.name();
        if index > 0 {
            state::join(common.root, &trees)?;
        }
        vcap::for_infrastructure(
            &RootTree::open(common.root)?,
            &common.project.definition,
            variant.lead,
        )?;
        trees = state::split(common.root, &targets, &state_dir)?;
        progress.phase(&if single {
            "make the disk".to_owned()
        } else {
            format!("make the disk for {name}")
        });
        let disk_dir = plan.staging.join(format!("disk-{name}"));
        make_directory(&disk_dir)?;
        let built = disk(common, variant, &trees, &disk_dir)?;
        facts.root_hash.clone_from(&built.root_hash);
        let loose = index == 0;
        outputs.extend(wrap_variant(common, &facts, variant, &built, &trees, loose, progress)?);
        fs::remove_dir_all(&disk_dir).map_err(io_at("remove", &disk_dir))?;
    }
    progress.phase("sign");
    prove(common, &facts, outputs)
}

/// Groups infrastructures by what makes their disks differ: the command line, and the agent's settings.
fn variants(names: &[Iaas], common: &Common<'_>) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    for iaas in names {
        let mut command_line = common.command_line.clone();
        command_line
            .extend(iaas.infrastructure().command_line.iter().map(|word| (*word).to_owned()));
        let same = variants
            .iter_mut()
            .find(|variant| !common.project.is_bosh() && variant.command_line == command_line);
        match same {
            Some(variant) => variant.members.push(*iaas),
            None => variants.push(Variant { lead: *iaas, members: vec![*iaas], command_line }),
        }
    }
    if variants.is_empty() {
        // Only loose disks are wanted.
        let command_line = common.command_line.clone();
        variants.push(Variant { lead: Iaas::Qemu, members: Vec::new(), command_line });
    }
    variants
}

fn disk(
    common: &Common<'_>,
    variant: &Variant,
    trees: &[StateTree],
    disk_dir: &Path,
) -> Result<BuiltImage, BuildError> {
    let plan = common.plan;
    let image = &common.project.definition.image;
    let state: Vec<StateFileSystem> = image
        .partitions
        .iter()
        .map(|partition| StateFileSystem {
            mount: partition.mount.clone(),
            label: label(&partition.mount),
            size: partition.size.bytes(),
            tree: trees
                .iter()
                .find(|tree| tree.target == partition.mount)
                .map(|tree| tree.tree.clone()),
        })
        .collect();
    let signing = SigningKey::from_files(&plan.secure_boot_key, &plan.secure_boot_certificate)?;
    let command_line = variant.command_line.join(" ");
    let input = ImageInput {
        root_dir: common.root,
        kernel: common.kernel,
        kernel_version: common.kernel_version,
        initrd: common.initrd,
        stub: &common.stub,
        os_release: common.os_release,
        command_line: &command_line,
        splash: None,
        signing: Some(&signing),
        state: &state,
        ab: image.ab,
        root_bytes: image.root_size.map(|size| size.bytes()),
        esp_bytes: Some(image.esp_size.bytes()),
        // Google imports disks of whole GiB only.
        disk_multiple: if variant.members.contains(&Iaas::Google) { 1 << 30 } else { 1 << 20 },
        compression: Compression::Lz4,
        epoch: u64::try_from(common.facts.epoch).unwrap_or(0),
        identity: identity(&common.namespace, common.project),
        work_dir: disk_dir,
        out_raw: &disk_dir.join("disk.raw"),
    };
    Ok(build_image(&input, &|_| {})?)
}

/// The partition and file system label of a mount point: `var-log` for `/var/log`.
pub(crate) fn label(mount: &str) -> String {
    let label = mount.trim_matches('/').replace('/', "-");
    if label.len() <= 16 {
        return label;
    }
    // ext4 has room for 16 bytes.
    let digest = hex::encode(Sha256::digest(mount.as_bytes()));
    let (head, tail) = (label.get(..11).unwrap_or("state"), digest.get(..4).unwrap_or("0"));
    format!("{head}-{tail}")
}

fn wrap_variant(
    common: &Common<'_>,
    facts: &Facts,
    variant: &Variant,
    built: &BuiltImage,
    trees: &[StateTree],
    loose: bool,
    progress: &dyn Progress,
) -> Result<Vec<Output>, BuildError> {
    let plan = common.plan;
    let definition = &common.project.definition;
    let identity = identity(&common.namespace, common.project);
    let epoch = u64::try_from(facts.epoch).unwrap_or(0);
    let mut converted: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut in_format = |format: DiskFormat| -> Result<PathBuf, BuildError> {
        if format == DiskFormat::Raw {
            return Ok(built.raw.clone());
        }
        let key = format!("{format:?}");
        if let Some(path) = converted.get(&key) {
            return Ok(path.clone());
        }
        let path = built.raw.with_extension(key.to_lowercase());
        convert(&built.raw, &path, format, identity, epoch)?;
        converted.insert(key, path.clone());
        Ok(path)
    };
    let description = description(common, facts, built);
    let members =
        Members { facts, packages: &common.packages_txt, dev_tools: "", description: &description };
    let mut outputs = Vec::new();
    for iaas in &variant.members {
        let name = manifest::stemcell_name(definition, *iaas);
        let file = manifest::file_name(definition, *iaas, false);
        progress.phase(&format!("wrap for {}", iaas.name()));
        let image = match iaas.infrastructure().image {
            ImageMember::TarOfRaw(name) => Image::TarOfDisk { disk: built.raw.clone(), name },
            ImageMember::TarOfVhd(name) => {
                Image::TarOfDisk { disk: in_format(DiskFormat::VhdFixed)?, name }
            }
            ImageMember::TarOfOvf => Image::TarOfOvf {
                vmdk: in_format(DiskFormat::VmdkStream)?,
                capacity: built.disk_bytes,
                secure_boot: true,
            },
            ImageMember::Qcow2 { compat: "0.10" } => {
                Image::TarOfDisk { disk: in_format(DiskFormat::Qcow2Compat010)?, name: "root.img" }
            }
            ImageMember::Qcow2 { .. } => {
                Image::TarOfDisk { disk: in_format(DiskFormat::Qcow2)?, name: "root.qcow2" }
            }
            ImageMember::Bzip2OfVhd => Image::Bzip2 { disk: in_format(DiskFormat::VhdDynamic)? },
            ImageMember::TarOfRoot => {
                let mut layers =
                    vec![Layer { prefix: PathBuf::new(), tree: common.root.to_owned() }];
                layers.extend(trees.iter().map(|tree| Layer {
                    prefix: PathBuf::from(tree.target.trim_start_matches('/')),
                    tree: tree.tree.clone(),
                }));
                Image::TarOfRoot { layers }
            }
        };
        let mib = u32::try_from(built.disk_bytes >> 20).unwrap_or(u32::MAX);
        let manifest = |sha1: &str| StemcellManifest::new(definition, *iaas, sha1, mib).to_yaml();
        let path = plan.done.join(&file);
        outputs.push(wrap::write(&path, &plan.staging, &members, &image, &name, &manifest)?);
    }
    for light in
        definition.output.light.iter().filter(|light| variant.members.contains(&light.iaas))
    {
        if let Some(manifest) = StemcellManifest::light(definition, light.iaas, &light.reference) {
            let file = manifest::file_name(definition, light.iaas, true);
            let name = format!("light-{}", manifest::stemcell_name(definition, light.iaas));
            let text = manifest.to_yaml();
            let path = plan.done.join(&file);
            outputs.push(wrap::write(
                &path,
                &plan.staging,
                &members,
                &Image::Light,
                &name,
                &|_| text.clone(),
            )?);
        }
    }
    if loose {
        let mut disks = Vec::new();
        for name in &plan.formats {
            let from = in_format(formats::of_name(name)?)?;
            let to = plan.done.join(format!("{}-{}.{name}", definition.name, definition.version));
            // A second name for the same file: nothing is copied.
            fs::hard_link(&from, &to).map_err(io_at("write", &to))?;
            disks.push(to);
        }
        let digested: Result<Vec<Output>, _> =
            disks.par_iter().map(|disk| wrap::output(disk)).collect();
        outputs.extend(digested?);
    }
    Ok(outputs)
}

/// `stonecell.json`: what `inspect` shows beside the manifest.
fn description(common: &Common<'_>, facts: &Facts, built: &BuiltImage) -> Value {
    let definition = &common.project.definition;
    let selection = &common.project.selection;
    let applied: Vec<&str> = selection.controls.iter().map(|control| control.id.as_str()).collect();
    let left_out: Vec<Value> = selection
        .left_out
        .iter()
        .filter(|left| left.cause != stonecell_controls::Cause::Profile)
        .map(|left| {
            // What somebody declined is told apart from what is meant for other roles, platforms and releases.
            let declined = matches!(left.cause, stonecell_controls::Cause::OptOut { .. });
            json!({
                "id": left.id,
                "title": left.title,
                "why": left.cause.to_string(),
                "declined": declined,
            })
        })
        .collect();
    json!({
        "name": facts.name,
        "version": facts.version,
        "title": definition.title,
        "distribution": facts.distribution,
        "release": facts.release,
        "roles": definition.roles,
        "kernel_version": common.kernel_version,
        "root_hash": built.root_hash,
        "command_line": built.command_line,
        "uki_sha256": built.uki_sha256,
        "partitions": built.partitions,
        "mutable_etc": definition.etc_mutable,
        "controls": {
            "profile": selection.profile,
            "applied": applied,
            "left_out": left_out,
        },
        "development_keys": facts.development_keys,
        "lock_sha256": facts.lock_sha256,
        "epoch": facts.epoch,
    })
}

/// Signatures over every output, provenance over all of them, and the public halves of the keys.
fn prove(common: &Common<'_>, facts: &Facts, mut outputs: Vec<Output>) -> Result<(), BuildError> {
    let plan = common.plan;
    let definition = &common.project.definition;
    let key = signature::SigningKey::read(&plan.stemcell_key)?;
    outputs.sort_by(|a, b| a.path.cmp(&b.path));
    for output in &outputs {
        let mut path = output.path.clone().into_os_string();
        path.push(".sig");
        let path = PathBuf::from(path);
        fs::write(&path, key.sign_output(output)?).map_err(io_at("write", &path))?;
    }
    let parameters = json!({
        "definition": facts.name,
        "version": facts.version,
        "iaas": plan.iaas,
        "formats": plan.formats,
    });
    let statement = provenance::statement(facts, &outputs, &parameters);
    let envelope = provenance::seal(&statement, &key)
        .map_err(|error| BuildError::Provenance(Box::new(error)))?;
    let mut text = serde_json::to_vec(&envelope).map_err(BuildError::Json)?;
    text.push(b'\n');
    let base = format!("{}-{}", definition.name, definition.version);
    let write = |extension: &str, bytes: &[u8]| {
        let path = plan.done.join(format!("{base}.{extension}"));
        fs::write(&path, bytes).map_err(io_at("write", &path))
    };
    write("intoto.json", &text)?;
    // From the private half: a file beside it could be that of another key.
    write("pub", key.public_text()?.as_bytes())?;
    let certificate = &plan.secure_boot_certificate;
    write("crt", &fs::read(certificate).map_err(io_at("read", certificate))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_distinct() {
        assert_eq!(label("/var/log/audit"), "var-log-audit");
        let (a, b) = (label("/var/lib/containerd/a"), label("/var/lib/containerd/b"));
        assert!(a.len() <= 16 && b.len() <= 16 && a != b);
    }
}
