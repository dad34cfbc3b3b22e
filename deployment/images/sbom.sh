#!/usr/bin/env bash
# Lists what is in an image:  deployment/images/sbom.sh IMAGE FOLDER
#
# Writes FOLDER/NAME.cyclonedx.json and FOLDER/NAME.spdx.json from the image itself (Debian's packages, Python's). Needs
# syft (python -m deployment.tools install syft) and the engine that has the image: buildah, podman or docker.
set -euo pipefail
image=${1:?which image} folder=${2:?into which folder}
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
syft=$("$python" -c 'import sys
from deployment.tools import tool
one = tool("syft")
print(one.found) if one.found else sys.exit(one.advice)')
name=$(basename "${image%%@*}" | tr ':' '-')
archive=$(mktemp -d)
trap 'rm -rf "$archive"' EXIT
if command -v buildah >/dev/null && buildah inspect --type image "$image" >/dev/null 2>&1; then
    buildah push -q "$image" "oci-archive:$archive/image.tar"
    source=oci-archive:$archive/image.tar
else
    "$(command -v podman || command -v docker)" save -o "$archive/image.tar" "$image"
    source=docker-archive:$archive/image.tar
fi
mkdir -p "$folder"
SYFT_CHECK_FOR_APP_UPDATE=false "$syft" scan "$source" -q \
    -o "cyclonedx-json=$folder/$name.cyclonedx.json" -o "spdx-json=$folder/$name.spdx.json"
echo "$folder/$name.cyclonedx.json"
echo "$folder/$name.spdx.json"
