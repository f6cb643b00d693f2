#!/bin/sh
# Says on the serial console what the running machine is like. Only in test images.
exec >/dev/ttyS0 2>&1
systemctl is-system-running --wait >/run/probe-state
section() { printf '\n@@ %s\n' "$1"; }
section begin
section state; cat /run/probe-state
section uptime; cat /proc/uptime
section mounts; cat /proc/mounts
section init; dmesg | sed -n 's/.*stonecell-init: //p'
section generators; for file in /run/systemd/system-generators/*; do echo "${file##*/} $(readlink "$file")"; done
section power; sed -n 's/^button .*/driver/p' /proc/modules; systemctl list-units --plain --no-legend --no-pager --full 'stonecell-power-button@*.socket'
section idle; systemctl is-active systemd-logind.service dbus.service dbus.socket
section failed; systemctl list-units --failed --plain --no-legend --no-pager
section lockdown; cat /sys/kernel/security/lockdown
section secure-boot; od -An -tu1 -j4 -N1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
section seccomp; sed -n 's/^Seccomp:\t//p' /proc/1/status
section apparmor; cat /sys/module/apparmor/parameters/enabled
section dm; cat /sys/block/dm-0/dm/name /sys/block/dm-0/dm/uuid /sys/block/dm-0/ro
section write; touch /usr/probe /etc/probe && echo written
section sockets; for f in tcp tcp6 udp udp6 raw raw6; do sed "1d;s/^/$f /" "/proc/net/$f"; done
section sysctl
sed -n 's/^\([a-z0-9][^ =]*\) *= *\(.*\)$/\1 \2/p' /usr/lib/sysctl.d/99-zz-stonecell.conf | while read -r key value; do
    for path in /proc/sys/$(printf '%s' "$key" | tr . /); do
        found=$(tr '\t' ' ' <"$path")
        [ "$found" = "$value" ] || printf '%s: wanted %s, found %s\n' "$path" "$value" "$found"
    done
done
section audit; auditctl -s; auditctl -l | wc -l
section dpkg; dpkg -l | sed 1,5d | cut -c1-2 | sort | uniq -c; dpkg -V | grep -v ' c /etc/'; echo verified
section blame; systemd-analyze blame --no-pager | head -n 12
section end
