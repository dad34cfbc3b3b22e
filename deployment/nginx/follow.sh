#!/bin/sh
# Runs nginx in a container, in front of all containers that two names stand for, as long as they are ready.
#
# SERVICE (service) and PAGE (ui) are names of services in Compose or Swarm. nginx looks names up at its start alone and
# asks nobody how they are; so both is done here, every second, and nginx is reloaded when something has changed.
# The folder of this file and /run/secrets (tls.crt, tls.key) are read, /tmp is written. Needs getent and curl.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
conf=${CONF:-/tmp/nginx}

ready() { # name, port, path: the addresses that say that they are
    getent ahostsv4 "$1" | cut -d' ' -f1 | sort -u | while read -r address; do
        if curl -fs -o /dev/null -m 5 "http://$address:$2$3"; then echo "$address:$2"; fi
    done
}

upstream() { # its name, how to choose, how long to keep a connection, name, port, path
    found=$(ready "$4" "$5" "$6")
    if [ -n "$found" ]; then
        {
            printf 'upstream %s {\n    zone %s 64k;\n    %s;\n' "$1" "$1" "$2"
            for one in $found; do echo "    server $one max_fails=3 fail_timeout=30s;"; done
            printf '    keepalive 32;\n    keepalive_timeout %s;\n}\n' "$3"
        } >"$conf/$1.upstream"
    fi
    cat "$conf/$1.upstream" # as it was, if nobody is ready
}

look() {
    upstream service least_conn 60s "${SERVICE:-service}" "${SERVICE_PORT:-8000}" /readyz
    upstream page "hash \$remote_addr consistent" 4s "${PAGE:-ui}" "${PAGE_PORT:-7860}" /health
}

mkdir -p "$conf"
for file in "$here"/*.conf; do # not cp: Swarm's files may be read alone, and a copy may be written
    sed "s#^pid .*#pid $conf/nginx.pid;#" "$file" >"$conf/${file##*/}"
done
ln -sfn "${SECRETS:-/run/secrets}" "$conf/tls"
for name in service page; do
    echo "upstream $name { server 127.0.0.1:9; } # nobody yet" >"$conf/$name.upstream"
done
look >"$conf/upstreams.conf"
nginx -c "$conf/nginx.conf" -g 'daemon off;' &
nginx=$!
trap 'kill -QUIT $nginx' TERM INT QUIT
while kill -0 "$nginx" 2>/dev/null; do
    sleep 1 &
    wait $!
    look >"$conf/seen"
    if ! cmp -s "$conf/seen" "$conf/upstreams.conf"; then
        cp "$conf/seen" "$conf/upstreams.conf"
        kill -HUP "$nginx" 2>/dev/null
    fi
done
wait "$nginx"
