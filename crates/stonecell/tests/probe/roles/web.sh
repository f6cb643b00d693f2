# One page by HTTP/1.0, with nothing but the shell.
exec 3<>/dev/tcp/127.0.0.1/80
printf 'GET / HTTP/1.0\r\n\r\n' >&3
head -n 1 <&3 | tr -d '\r'
exec 3<&-
ls -1 /etc/ssh/ssh_host_*_key 2>/dev/null
ls -1 /var/lib/ssh
