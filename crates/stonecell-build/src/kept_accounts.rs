//! Account files that change in the machine, although `/etc` cannot.
//!
//! `useradd` and its kind replace `/etc/passwd` by a rename in `/etc`, and everything else reads `/etc/passwd`
//! from the first moment of the boot. So the four files are links into `/etc/stonecell/accounts`, which holds
//! the image's own until `/var` is there and is then covered by `/var/lib/stonecell/accounts`. A tool of its
//! own name before the real one in the search path runs it where an overlay puts that same directory on top of
//! `/etc`: the rename happens, and it happens to the kept file. Nobody else sees the overlay
//! (`docs/adr/0011-what-changes-below-etc.md`).

use crate::tree::{Owner, RootTree, TreeError};

/// The image's account files, and where the kept ones are seen.
pub const IMAGE_ACCOUNTS: &str = "/etc/stonecell/accounts";

/// The line of `/etc/fstab` that covers the image's with the kept ones.
pub const MOUNT: &str = "/var/lib/stonecell/accounts /etc/stonecell/accounts none \
                         bind,nosuid,nodev,noexec,x-systemd.requires=stonecell-accounts.service 0 0";

/// Tools that write account files.
const TOOLS: [&str; 9] = [
    "chage", "chpasswd", "gpasswd", "groupadd", "groupdel", "groupmod", "useradd", "userdel",
    "usermod",
];

const TOOL: &str = r#"#!/bin/sh
# Runs the tool of this name where the kept account files lie on top of /etc. Others see only the result.
set -eu
tool=/usr/sbin/${0##*/}
[ -x "$tool" ] || tool=/usr/bin/${0##*/}
[ "$(id -u)" = 0 ] || exec "$tool" "$@"
kept=/var/lib/stonecell/accounts
# One at a time: locks of the tools do not reach from one overlay into another.
exec 9>"$kept.lock"
flock 9
exec unshare --mount --propagation private sh -euc '
    mount -t overlay stonecell-accounts -o "lowerdir=/etc,upperdir=$1,workdir=$1.work" /etc
    shift
    exec "$@"' sh "$kept" "$tool" "$@"
"#;

const SEED: &str = r#"#!/bin/sh
# What is kept is taken over line by line; what only this image has is added to it.
set -eu
image=/etc/stonecell/accounts
kept=/var/lib/stonecell/accounts
umask 077
for name in passwd group shadow gshadow; do
    [ -e "$kept/$name" ] || : >"$kept/$name"
    awk -F: 'FILENAME == ARGV[1] { have[$1]; print; next } !($1 in have)' \
        "$kept/$name" "$image/$name" >"$kept/$name.new"
    chown --reference="$image/$name" "$kept/$name.new"
    chmod --reference="$image/$name" "$kept/$name.new"
    mv "$kept/$name.new" "$kept/$name"
done
"#;

const UNIT: &str = "\
[Unit]
Description=Take over the accounts that this machine keeps
DefaultDependencies=no
RequiresMountsFor=/var/lib/stonecell
Before=local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/stonecell/accounts/seed
";

/// Installs the tools, and the unit that the line of `/etc/fstab` asks for.
///
/// # Errors
/// [`TreeError`].
pub fn install(tree: &RootTree) -> Result<(), TreeError> {
    let program = "/usr/lib/stonecell/accounts/tool";
    tree.write(program, TOOL.as_bytes(), Owner::root(0o755))?;
    for tool in TOOLS {
        tree.link(&format!("/usr/local/sbin/{tool}"), program)?;
    }
    tree.write("/usr/lib/stonecell/accounts/seed", SEED.as_bytes(), Owner::root(0o755))?;
    let unit = "/usr/lib/systemd/system/stonecell-accounts.service";
    tree.write(unit, UNIT.as_bytes(), Owner::root(0o644))?;
    // The overlay shows the mode of its upper directory as that of /etc.
    tree.directory("/var/lib/stonecell/accounts", Owner::root(0o755))?;
    tree.directory("/var/lib/stonecell/accounts.work", Owner::root(0o700))
}
