#!/bin/sh
# A base with Python under the tag that the Containerfiles name, made of Debian's packages: for machines that cannot pull
# `python:3.11-slim-bookworm`. Needs buildah and mmdebstrap, and root. Python is Debian's 3.11.
set -eu
tag=${1:-localhost/python:3.11-slim-bookworm}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mmdebstrap --variant=minbase --quiet --include=ca-certificates,python3,python3-pip,python3-venv,tzdata,netbase \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    bookworm "$folder/root.tar"
container=$(buildah from scratch)
buildah add -q "$container" "$folder/root.tar" / >/dev/null
buildah run --isolation chroot "$container" -- sh -c '
    ln -sf /usr/bin/python3 /usr/local/bin/python
    ln -sf /usr/bin/python3 /usr/local/bin/python3
    ln -sf /usr/bin/pip3 /usr/local/bin/pip
    rm -f /usr/lib/python3.11/EXTERNALLY-MANAGED'
buildah config --env PATH=/usr/local/bin:/usr/bin:/usr/sbin:/sbin:/bin --env LANG=C.UTF-8 --cmd python3 \
    --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container" # uv, in what BentoML generates, looks there
buildah commit -q --rm "$container" "$tag"
buildah tag "$tag" "${tag%-bookworm}" # as `bentoml containerize` calls it
