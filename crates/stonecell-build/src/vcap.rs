//! The `/var/vcap` layout and the agent's slot (facts of existing stemcells, sections 2.9 and 5 of the reference).
//!
//! What the units execute lies on the verity root below `/usr/lib/stonecell/vcap`; `/var/vcap/bosh/bin` is a link
//! to it for everything that looks there. What the agent writes lies on `/var`.

use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stonecell_definition::Definition;
use stonecell_definition::definition::{Program, SettingsSource};
use stonecell_definition::iaas::Iaas;
use thiserror::Error;

use crate::tree::{Owner, RootTree, TreeError};

/// Where the agent's programs lie.
const PROGRAMS: &str = "/usr/lib/stonecell/vcap/bosh/bin";
/// Where the agent looks for them.
const BOSH: &str = "/var/vcap/bosh";

/// Why the agent's slot cannot be filled.
#[derive(Debug, Error)]
pub enum VcapError {
    /// The root cannot be written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A program cannot be read.
    #[error("agent: cannot read {path}")]
    Read {
        /// On this host.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program is not the one that the definition names.
    #[error(
        "agent: {path} has SHA-256 {found}, the definition expects {expected}: fetch it again or correct [agent]"
    )]
    Digest {
        /// On this host.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
}

/// Lays out `/var/vcap`, installs the agent and its unit. `/var/vcap/data` must not exist in an image.
///
/// # Errors
/// [`VcapError`].
pub fn layout(tree: &RootTree, definition: &Definition) -> Result<(), VcapError> {
    let Some(agent) = &definition.agent else { return Ok(()) };
    for (path, mode) in [
        ("/var/vcap", 0o755),
        (BOSH, 0o700),
        ("/var/vcap/bosh/etc", 0o700),
        ("/var/vcap/bosh/log", 0o700),
        ("/var/vcap/micro_bosh/data/cache", 0o755),
        ("/var/vcap/monit/svlog", 0o755),
        (PROGRAMS, 0o755),
    ] {
        tree.directory(path, Owner::root(mode))?;
    }
    tree.link("/var/vcap/bosh/bin", PROGRAMS)?;
    install(tree, &agent.binary, "bosh-agent")?;
    if let Some(monit) = &agent.monit {
        install(tree, monit, "monit")?;
        tree.write("/etc/systemd/system/monit.service", MONIT_UNIT.as_bytes(), Owner::root(0o644))?;
    }
    for (provider, client) in &agent.blobstores {
        install(tree, client, &format!("bosh-blobstore-{provider}"))?;
    }
    for (name, text) in SCRIPTS {
        tree.write(&format!("{PROGRAMS}/{name}"), text.as_bytes(), Owner::root(0o755))?;
    }
    let unit = "/etc/systemd/system/bosh-agent.service";
    tree.write(unit, AGENT_UNIT.as_bytes(), Owner::root(0o644))?;
    tree.link("/etc/systemd/system/multi-user.target.wants/bosh-agent.service", unit)?;
    tree.link("/etc/systemd/system/agent.service", unit)?;
    let release = definition.base.release;
    for (name, text) in [
        ("operating_system", release.distribution().name()),
        ("stemcell_version", definition.version.as_str()),
        ("dev_tools_file_list", ""),
        ("static_libraries_list", ""),
    ] {
        tree.write(&format!("{BOSH}/etc/{name}"), text.as_bytes(), Owner::root(0o600))?;
    }
    Ok(())
}

/// What differs by infrastructure: where the agent finds its settings, and the name of the infrastructure.
///
/// # Errors
/// [`VcapError`].
pub fn for_infrastructure(
    tree: &RootTree,
    definition: &Definition,
    iaas: Iaas,
) -> Result<(), VcapError> {
    let Some(agent) = &definition.agent else { return Ok(()) };
    let row = iaas.infrastructure();
    let name = row.infrastructure_file;
    tree.write(&format!("{BOSH}/etc/infrastructure"), name.as_bytes(), Owner::root(0o600))?;
    let source = match agent.settings {
        SettingsSource::Infrastructure => row.settings,
        given => given,
    };
    if source != SettingsSource::None {
        let mut text = settings(iaas, source).to_string();
        text.push('\n');
        tree.write("/usr/lib/stonecell/vcap/bosh/agent.json", text.as_bytes(), Owner::root(0o600))?;
        tree.link(&format!("{BOSH}/agent.json"), "/usr/lib/stonecell/vcap/bosh/agent.json")?;
    }
    Ok(())
}

fn install(tree: &RootTree, program: &Program, name: &str) -> Result<(), VcapError> {
    let bytes = std::fs::read(&program.path)
        .map_err(|source| VcapError::Read { path: program.path.clone(), source })?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != program.sha256 {
        return Err(VcapError::Digest {
            path: program.path.clone(),
            found,
            expected: program.sha256.clone(),
        });
    }
    Ok(tree.write(&format!("{PROGRAMS}/{name}"), &bytes, Owner::root(0o755))?)
}

/// `agent.json`: platform options and the settings source (reference, 5.1).
fn settings(iaas: Iaas, source: SettingsSource) -> Value {
    let mut linux = json!({
        "PartitionerType": "parted",
        "ServiceManager": "systemd",
        "DevicePathResolutionType": match iaas {
            Iaas::Azure | Iaas::Vsphere | Iaas::Vcloud => "scsi",
            Iaas::Softlayer => "iscsi",
            _ => "virtio",
        },
    });
    if let Some(options) = linux.as_object_mut() {
        match iaas {
            Iaas::Aws | Iaas::Openstack | Iaas::Qemu => {
                options.insert("CreatePartitionIfNoEphemeralDisk".into(), json!(true));
            }
            Iaas::Google => {
                options.insert("VirtioDevicePrefix".into(), json!("google"));
            }
            Iaas::Softlayer => {
                options.insert("ScrubEphemeralDisk".into(), json!(true));
            }
            Iaas::Warden => {
                for name in [
                    "UseDefaultTmpDir",
                    "UsePreformattedPersistentDisk",
                    "BindMountPersistentDisk",
                    "SkipDiskSetup",
                ] {
                    options.insert(name.into(), json!(true));
                }
            }
            _ => {}
        }
    }
    let metadata = match iaas {
        Iaas::Alicloud => "http://100.100.100.200",
        Iaas::Cloudstack => "http://169.254.169.254:39724",
        Iaas::Softlayer => "https://api.service.softlayer.com",
        _ => "http://169.254.169.254",
    };
    let sources = match source {
        SettingsSource::Http if iaas == Iaas::Aws => json!([{
            "Type": "HTTP", "URI": metadata, "TokenPath": "/latest/api/token",
        }]),
        SettingsSource::Http => json!([{ "Type": "HTTP", "URI": metadata }]),
        SettingsSource::InstanceMetadata => json!([{
            "Type": "InstanceMetadata",
            "URI": "http://169.254.169.254",
            "SettingsPath": "/computeMetadata/v1/instance/attributes/bosh_settings",
            "Headers": { "Metadata-Flavor": "Google" },
        }]),
        SettingsSource::ConfigDrive => json!([
            { "Type": "File", "SettingsPath": "/var/vcap/bosh/agent-bootstrap-env.json" },
            {
                "Type": "ConfigDrive",
                "DiskPaths": ["/dev/disk/by-label/CONFIG-2", "/dev/disk/by-label/config-2"],
                "MetaDataPath": "ec2/latest/meta-data.json",
                "SettingsPath": "ec2/latest/user-data",
            },
            { "Type": "HTTP", "URI": metadata },
        ]),
        SettingsSource::File if iaas == Iaas::Azure => json!([{
            "Type": "File", "SettingsPath": "/var/lib/cloud/instance/user-data.txt",
        }]),
        SettingsSource::File => json!([{
            "Type": "File", "SettingsPath": "/var/vcap/bosh/warden-cpi-agent-env.json",
        }]),
        SettingsSource::Cdrom => json!([{ "Type": "CDROM", "FileName": "env" }]),
        SettingsSource::VsphereGuestinfo => json!([{ "Type": "VsphereGuestInfo" }]),
        SettingsSource::Infrastructure | SettingsSource::None => json!([]),
    };
    json!({
        "Platform": { "Linux": linux },
        "Infrastructure": { "Settings": { "Sources": sources, "UseRegistry": false } },
    })
}

/// Programs that the agent calls (reference, 2.9).
const SCRIPTS: [(&str, &str); 6] = [
    (
        "bosh-agent-rc",
        "#!/bin/sh\n# Runs before the agent: the image is complete, there is nothing to prepare.\nexit 0\n",
    ),
    ("sync-time", SYNC_TIME),
    ("setup-logrotate.sh", SETUP_LOGROTATE),
    ("resolvconf", RESOLVCONF),
    ("restart_networking", "#!/bin/sh\nexec systemctl restart systemd-networkd.service\n"),
    (
        "bosh-start-logging-and-auditing",
        "#!/bin/sh\n# Logging and auditing start with the machine, on partitions of their own.\n\
         exec systemctl start auditd.service\n",
    ),
];

const SYNC_TIME: &str = r#"#!/bin/sh
# Sets the clock by the servers that the agent has written, and waits at most ten seconds for it.
set -eu
servers=/var/vcap/bosh/etc/ntpserver
[ -s "$servers" ] || exit 0
for server in $(cat "$servers"); do
    echo "server $server iburst"
done >/etc/chrony/sources.d/bosh.sources
systemctl restart chrony.service
exec chronyc waitsync 10 0 0 1
"#;

const SETUP_LOGROTATE: &str = r#"#!/bin/sh
# The agent has written /etc/logrotate.d/vcap. The timer of the role bosh rotates every quarter of an hour, and
# spreads the machines by a random delay of its own; here it only has to be running.
exec systemctl start logrotate.timer
"#;

const RESOLVCONF: &str = r#"#!/bin/sh
# What the agent asks of resolvconf: take over the name servers that it has written. Until then /etc/resolv.conf
# leads to those of DHCP. Records of interfaces (-d) do not exist here.
set -eu
case "${1:-}" in
-u) ;;
-d) exit 0 ;;
*) echo "usage: resolvconf -u | -d INTERFACE" >&2; exit 2 ;;
esac
new=/run/resolvconf/resolv.conf.new
: >"$new"
for part in head base tail; do
    [ ! -e "/etc/resolvconf/resolv.conf.d/$part" ] || cat "/etc/resolvconf/resolv.conf.d/$part" >>"$new"
done
if [ -s "$new" ]; then
    mv "$new" /run/resolvconf/resolv.conf
else
    rm "$new"
fi
"#;

const AGENT_UNIT: &str = "\
[Unit]
Description=BOSH agent
After=network-online.target
Wants=network-online.target
RequiresMountsFor=/var/vcap

[Service]
Environment=PATH=/usr/lib/stonecell/vcap/bosh/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStartPre=/usr/lib/stonecell/vcap/bosh/bin/bosh-agent-rc
ExecStart=/usr/lib/stonecell/vcap/bosh/bin/bosh-agent -P ubuntu -C /var/vcap/bosh/agent.json
WorkingDirectory=/var/vcap/bosh
Restart=always
KillMode=process

[Install]
WantedBy=multi-user.target
Alias=agent.service
";

const MONIT_UNIT: &str = "\
[Unit]
Description=Monit, supervisor of BOSH jobs
ConditionPathIsDirectory=/var/vcap/data/sys/run

[Service]
ExecStart=/usr/lib/stonecell/vcap/bosh/bin/monit -I -c /var/vcap/bosh/etc/monitrc
Restart=always
KillMode=process

[Install]
WantedBy=multi-user.target
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_infrastructure_has_a_source() {
        for iaas in Iaas::ALL {
            let value = settings(iaas, iaas.infrastructure().settings);
            let sources = &value["Infrastructure"]["Settings"]["Sources"];
            assert!(!sources.as_array().unwrap().is_empty(), "{}", iaas.name());
        }
        let aws = settings(Iaas::Aws, SettingsSource::Http);
        assert_eq!(
            aws["Infrastructure"]["Settings"]["Sources"][0]["TokenPath"],
            "/latest/api/token"
        );
    }
}
