ask() { runuser -u postgres -- psql -At -c "$1"; }
ask 'create table kept (what text)'
ask "insert into kept values ('still here')"
systemctl restart postgresql.service
ask 'select what from kept'
ask 'show data_checksums'
ask "select 'listens on [' || current_setting('listen_addresses') || ']'"
runuser -u nobody -- psql -At -c 'select 1' postgres 2>&1 | grep -c 'Peer authentication failed\|does not exist'
touch /etc/postgresql/pg_hba.conf || echo read-only
