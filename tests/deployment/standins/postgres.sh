#!/bin/sh
# What the stand-in's PostgreSQL does at its start, as the public image does: a database and its owner, once.
set -eu
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
    initdb --pgdata "$data" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --auth-host scram-sha-256 >/dev/null
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    pg_ctl --pgdata "$data" --silent --wait --options "-c listen_addresses='' -k /tmp" start >/dev/null
    createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --pgdata "$data" --silent --wait stop
fi
exec "$@" -D "$data" -c listen_addresses='*' -k /run/postgresql
