//! Programs that maintainer scripts call for nothing, and what answers in their place.
//!
//! They lie in a directory of the sandbox's own `/run`, first in the scripts' `PATH`: the tree never holds them.
//! Each leaves the tree as the program itself would have left it in the end (`tests/against_dpkg.rs`), without
//! its cost (ADR 10).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The directory as scripts see it.
pub(crate) const PATH: &str = "/run/stonecell-stand-ins";

/// The tree is thrown away when the machine stops; waiting for the build machine's disks helps nobody.
const SYNC: &str = "#!/bin/sh\nexit 0\n";

/// The kernel's postinst indexes modules most of which are removed afterwards; the index is made then.
const DEPMOD: &str = "#!/bin/sh\nexit 0\n";

/// `deb-systemd-helper` is Perl, takes 30 ms to start, and is called three times for each unit: to unmask what
/// nobody masked, to ask whether it was enabled, and to enable it. The first two are a look at a few files.
const DEB_SYSTEMD_HELPER: &str = r#"#!/bin/sh
real=/usr/bin/deb-systemd-helper
instance=system
enabled=/var/lib/systemd/deb-systemd-helper-enabled
quiet=
options=
for word in "$@"; do
    case $word in
    --quiet) quiet=1 ;;
    --user) instance=user enabled=/var/lib/systemd/deb-systemd-user-helper-enabled ;;
    *) break ;;
    esac
    options="$options $word"
    shift
done
# Anything but ACTION UNIT, and whatever might be an error, is for the program itself.
if [ $# = 2 ] && [ -n "$DPKG_MAINTSCRIPT_PACKAGE" ] && [ -x $real ] && [ -z "$DPKG_ROOT" ]; then
    unit=$2
    case $1:$unit in
    *:-* | *:*/*) ;;
    unmask:*)
        if [ ! -e "/etc/systemd/$instance/$unit" ] &&
            [ ! -e /var/lib/systemd/deb-systemd-helper-masked ] &&
            [ ! -e /var/lib/systemd/deb-systemd-user-helper-masked ]; then
            exit 0
        fi
        ;;
    was-enabled:*)
        code=0
        if [ -e "$enabled/$unit.dsh-also" ]; then
            while read -r link; do
                [ -h "$link" ] || code=1
            done < "$enabled/$unit.dsh-also"
        fi
        if [ -z "$quiet" ]; then
            if [ $code = 0 ]; then echo enabled; else echo disabled; fi >&2
        fi
        exit $code
        ;;
    esac
fi
exec $real $options "$@"
"#;

const ALL: [(&str, &str); 3] =
    [("deb-systemd-helper", DEB_SYSTEMD_HELPER), ("depmod", DEPMOD), ("sync", SYNC)];

/// Writes them below `run`, the sandbox's own.
pub(super) fn write(run: &Path) -> io::Result<()> {
    let name = Path::new(PATH).file_name().unwrap_or_default();
    let directory = run.join(name);
    fs::create_dir(&directory)?;
    for (name, text) in ALL {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o755).open(directory.join(name))?;
        file.write_all(text.as_bytes())?;
        // Whatever the umask of who builds.
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
