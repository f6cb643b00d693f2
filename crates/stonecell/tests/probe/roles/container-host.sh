# An image made of this machine's own shell, and one container of it.
work=/var/lib/containerd/probe
mkdir -p $work/root/proc $work/root/sys $work/root/dev
for file in /bin/sh /bin/cat /bin/grep /bin/sed $(ldd /bin/sh /bin/cat /bin/grep /bin/sed | grep -o '/lib[^ ]*' | sort -u); do
    [ -f "$file" ] && mkdir -p "$work/root${file%/*}" && cp -L "$file" "$work/root$file"
done
tar -C $work/root -cf $work/layer.tar .
layer=$(sha256sum $work/layer.tar | cut -d' ' -f1)
cat >$work/config.json <<J
{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
J
cat >$work/manifest.json <<J
[{"Config":"config.json","RepoTags":["localhost/probe:1"],"Layers":["layer.tar"]}]
J
tar -C $work -cf $work/image.tar manifest.json config.json layer.tar
ctr images import $work/image.tar
ctr run --rm --seccomp --apparmor-default-profile probe-default localhost/probe:1 probe \
    /bin/sh -c 'echo "pid $$"
        grep "^Seccomp:" /proc/self/status
        echo "profile $(cat /proc/self/attr/current)"
        grep -c "^overlay / " /proc/mounts
        echo changed >/bin/cat && echo "the layer is writable"'
# A second one holds still while its limit is read: it repeats its input until that ends.
mkfifo /run/probe-in /run/probe-out
ctr run --rm --memory-limit 33554432 localhost/probe:1 held /bin/cat </run/probe-in >/run/probe-out &
exec 8<>/run/probe-out 9>/run/probe-in
echo up >&9
read -r line <&8
echo "$line with $(cat /sys/fs/cgroup/default/held/memory.max) bytes"
exec 9>&-
wait $!
echo "forwards $(cat /proc/sys/net/ipv4/ip_forward)"
touch /etc/cni/net.d/probe.conf && echo "networks can be written"
ctr plugins ls | grep -q 'io.containerd.grpc.v1  *cri .* ok' && echo "cri answers"
