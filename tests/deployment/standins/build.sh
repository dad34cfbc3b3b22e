#!/usr/bin/env bash
# An image in place of those that can't be fetched here, of Debian's packages: PostgreSQL 15, Redis 7.0, nginx 1.22,
# Prometheus 2.42 and Alertmanager 0.25 in one.   build.sh FOLDER   writes FOLDER/standins.tar, which `tag.sh` loads. Needs buildah, mmdebstrap.
set -euo pipefail
folder=${1:?where to}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
cd "$folder"
if [ ! -s root.tar ]; then
    mmdebstrap --quiet --variant=minbase \
        --include=ca-certificates,curl,wget,tzdata,postgresql,redis-server,nginx-light,prometheus,prometheus-alertmanager \
        bookworm root.new.tar
    mv root.new.tar root.tar
fi
container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
buildah add -q "$container" root.tar /
buildah copy -q --chmod 755 "$container" "$here/postgres.sh" /usr/local/bin/docker-entrypoint.sh
buildah run --isolation chroot "$container" -- sh -c '
    rm -rf /var/lib/postgresql/* /data /prometheus /alertmanager
    install -d -o postgres -m 700 /var/lib/postgresql/data
    install -d -o redis /data
    install -d -o nobody /prometheus /alertmanager'
buildah config --env PATH=/usr/local/bin:/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah config --env LANG=C.UTF-8 "$container"
rm -f standins.new.tar
buildah commit -q --format docker "$container" docker-archive:standins.new.tar:standins:latest >/dev/null
mv standins.new.tar standins.tar
