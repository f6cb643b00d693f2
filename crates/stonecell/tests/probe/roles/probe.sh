#!/bin/bash
# Says on the serial console what a machine of this role does. The role's own questions are in the second file.
exec >/dev/ttyS0 2>&1
section() { printf '\n@@ %s\n' "$1"; }
systemctl is-system-running --wait >/run/probe-state
section begin
section role; . /usr/lib/stonecell/probe-role
section state; cat /run/probe-state
section failed; systemctl list-units --failed --plain --no-legend --no-pager
section sockets; for f in tcp tcp6 udp udp6 raw raw6; do sed "1d;s/^/$f /" "/proc/net/$f"; done
section denied; grep -a 'apparmor="DENIED"' /var/log/audit/audit.log
section packages; dpkg -l | grep -c '^ii'
section end
