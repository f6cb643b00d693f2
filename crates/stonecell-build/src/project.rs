//! A definition with everything that follows from it alone: the controls that hold, what they ask of the build,
//! and the identity that its lock must carry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use sha2::{Digest, Sha256};
use stonecell_controls::{
    Catalogue, CatalogueErrors, Cause, Context, LeftOut, OptOut, Requirements, SelectError,
    Selection, Want,
};
use stonecell_definition::iaas::Iaas;
use stonecell_definition::lock::Lock;
use stonecell_definition::{Definition, DefinitionErrors, Disk, load};
use thiserror::Error;

use crate::firewall::{self, Opening};

/// Why a definition cannot be used.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// The definition is wrong.
    #[error(transparent)]
    Definition(#[from] DefinitionErrors),
    /// The shipped catalogue is wrong: a defect of this program.
    #[error("the control catalogue of this program is damaged")]
    Catalogue(#[from] CatalogueErrors),
    /// The controls cannot be chosen.
    #[error("the definition's controls cannot be applied")]
    Select(#[from] SelectError),
    /// The lock cannot be read.
    #[error("cannot read the lock {path}: run `stonecell lock {definition}` first")]
    ReadLock {
        /// The lock.
        path: PathBuf,
        /// The definition.
        definition: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The lock is malformed.
    #[error("the lock {path} is damaged: run `stonecell lock` again")]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The lock belongs to another definition.
    #[error(
        "the lock {path} does not match the definition: packages, base or controls changed since; \
         run `stonecell lock {definition}` again"
    )]
    Stale {
        /// The lock.
        path: PathBuf,
        /// The definition.
        definition: PathBuf,
    },
}

/// A loaded definition.
#[derive(Debug)]
pub struct Project {
    /// Where it was read.
    pub path: PathBuf,
    /// Composed.
    pub definition: Definition,
    /// The controls that hold.
    pub selection: Selection,
    /// What they ask of the build.
    pub requirements: Requirements,
}

impl Project {
    /// Loads the definition at `path`; `today` decides which opt-outs have expired. `iaas` names the
    /// infrastructures instead of the definition's, when it is not empty.
    ///
    /// # Errors
    /// [`ProjectError`] with every place that is wrong.
    pub fn load(path: &Path, today: Date, iaas: &[String]) -> Result<Self, ProjectError> {
        let mut definition = load(path, today, &Disk)?;
        if !iaas.is_empty() {
            definition.output.iaas = iaas.iter().filter_map(|name| Iaas::of_name(name)).collect();
        }
        let catalogue = Catalogue::embedded()?;
        let selection = catalogue.select(&context(&definition, &catalogue, today))?;
        let requirements = selection.requirements();
        Ok(Self { path: path.to_owned(), definition, selection, requirements })
    }

    /// What [`Lock::definition`] must be: the definition's own digest, and the packages that its controls
    /// demand or forbid.
    #[must_use]
    pub fn lock_identity(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.definition.lock_digest());
        for (kind, names) in [
            ("present", &self.requirements.packages_present),
            ("absent", &self.requirements.packages_absent),
        ] {
            for name in names {
                hash.update(format!("\n{kind} {name}"));
            }
        }
        hex::encode(hash.finalize())
    }

    /// Where the lock lies when nobody says otherwise: beside the definition.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    /// Reads the lock and compares it with the definition. Gives the text too, for its digest.
    ///
    /// # Errors
    /// [`ProjectError`] when it is missing, damaged or of another definition.
    pub fn read_lock(&self, path: &Path) -> Result<(Lock, String), ProjectError> {
        let text = std::fs::read_to_string(path).map_err(|source| ProjectError::ReadLock {
            path: path.to_owned(),
            definition: self.path.clone(),
            source,
        })?;
        let lock = Lock::from_toml(&text, path).map_err(|source| ProjectError::Lock {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        if lock.definition != self.lock_identity() {
            return Err(ProjectError::Stale {
                path: path.to_owned(),
                definition: self.path.clone(),
            });
        }
        Ok((lock, text))
    }

    /// Controls that somebody declined: the definition, or an infrastructure's needs. Not those that are meant for
    /// other profiles, roles or platforms.
    #[must_use]
    pub fn left_out(&self) -> Vec<LeftOut> {
        let declined = |left: &&LeftOut| matches!(left.cause, Cause::OptOut { .. });
        self.selection.left_out.iter().filter(declined).cloned().collect()
    }

    /// Is there an agent slot: is this a BOSH stemcell in full?
    #[must_use]
    pub fn is_bosh(&self) -> bool {
        self.definition.agent.is_some()
    }
}

/// The catalogue's view of a definition.
fn context(definition: &Definition, catalogue: &Catalogue, today: Date) -> Context {
    let mut parameters: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let openings: Vec<Opening> = definition
        .firewall
        .iter()
        .map(|inbound| Opening {
            protocol: match inbound.protocol {
                stonecell_definition::definition::Protocol::Tcp => firewall::Protocol::Tcp,
                stonecell_definition::definition::Protocol::Udp => firewall::Protocol::Udp,
            },
            port: inbound.port,
            from: inbound.from.clone(),
        })
        .collect();
    let rules = firewall::inbound_rules(&openings);
    for control in catalogue.controls() {
        if control.parameters.contains_key("firewall_inbound") {
            parameters
                .entry(control.id.clone())
                .or_default()
                .insert("firewall_inbound".to_owned(), rules.clone());
        }
    }
    for parameter in &definition.controls.parameters {
        parameters
            .entry(parameter.control.clone())
            .or_default()
            .insert(parameter.name.clone(), parameter.value.clone());
    }
    let mut platforms: Vec<String> = definition
        .output
        .iaas
        .iter()
        .flat_map(|iaas| definition.platforms(*iaas))
        .map(str::to_owned)
        .collect();
    platforms.sort();
    platforms.dedup();
    let mut opt_outs: Vec<OptOut> = definition
        .controls
        .opt_outs
        .iter()
        .map(|opt_out| OptOut {
            control: opt_out.control.clone(),
            reason: opt_out.reason.clone(),
            owner: opt_out.owner.clone(),
            expires: opt_out.expires,
        })
        .collect();
    opt_outs.extend(needed_modules(definition, catalogue));
    opt_outs.extend(sudo_without_password(definition));
    Context {
        profile: definition.controls.profile.clone(),
        roles: definition.roles.clone(),
        platforms,
        release: definition.base.release.name().to_owned(),
        parameters,
        opt_outs,
        today: Some(today),
        setuid_allow: definition.setuid.clone(),
    }
}

/// Infrastructures whose light stemcell a build does not write, because the command line left them out. (The
/// definition itself cannot: that is an error when it is read.)
#[must_use]
pub fn light_left_out(definition: &Definition) -> Vec<&'static str> {
    let output = &definition.output;
    let left = output.light.iter().filter(|light| !output.iaas.contains(&light.iaas));
    left.map(|light| light.iaas.name()).collect()
}

/// Nobody has a password, so a user whom the definition lets use sudo cannot be asked for one. The control is
/// left out, and `inspect` says for whom.
fn sudo_without_password(definition: &Definition) -> Option<OptOut> {
    const ASKS: &str = "SC-SUDO-004";
    let users: Vec<&str> =
        definition.users.iter().filter(|user| user.sudo).map(|user| user.name.as_str()).collect();
    if users.is_empty() {
        return None;
    }
    let users = users.join(", ");
    let reason = format!("the definition lets {users} use sudo, and nobody has a password");
    left_out_for(definition, ASKS, reason)
}

/// A control that the program itself leaves out, unless the definition did already.
fn left_out_for(definition: &Definition, control: &str, reason: String) -> Option<OptOut> {
    let declined = definition.controls.opt_outs.iter().any(|out| out.control == control);
    (!declined).then(|| OptOut {
        control: control.to_owned(),
        reason,
        owner: "stonecell".to_owned(),
        expires: Date::MAX,
    })
}

/// Drivers of configuration drives, by infrastructure.
#[must_use]
pub fn configuration_drives(iaas: Iaas) -> &'static [&'static str] {
    match iaas {
        Iaas::Azure => &["isofs", "udf"],
        Iaas::Cloudstack | Iaas::Openstack | Iaas::Softlayer | Iaas::Vcloud | Iaas::Vsphere => {
            &["isofs"]
        }
        Iaas::Alicloud | Iaas::Aws | Iaas::Google | Iaas::Qemu | Iaas::Warden => &[],
    }
}

/// One root serves all infrastructures of a build: a module that one of them needs cannot be blocked for the
/// others. The control is left out, and `inspect` says so.
fn needed_modules(definition: &Definition, catalogue: &Catalogue) -> Vec<OptOut> {
    let mut needed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for iaas in &definition.output.iaas {
        for module in configuration_drives(*iaas) {
            needed.entry(module).or_default().push(iaas.name());
        }
    }
    catalogue
        .controls()
        .filter_map(|control| {
            let users = control.wants.iter().find_map(|want| match want {
                Want::Module(want) => needed.get(want.name.as_str()),
                _ => None,
            })?;
            let reason = format!("configuration drives of {} need the module", users.join(", "));
            left_out_for(definition, &control.id, reason)
        })
        .collect()
}
