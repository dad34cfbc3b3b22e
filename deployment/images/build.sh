#!/usr/bin/env bash
# Builds an image:  deployment/images/build.sh service|ui|lambda [TAG]
#
#   ENGINE         buildah, podman or docker; the first that is there
#   PYTHON         a Python that has the project installed (python3)
#   PLATFORM       linux/amd64 or linux/arm64; this machine's
#   BASE           the base image, by digest if you like
#   BUILD_OPTIONS  more words for the engine, as --pull-never
#   PIP_CONFIG_FILE, PIP_CERT   a package index of your own: they reach the build as secrets
#   SOURCE_DATE_EPOCH           time of every file; the last commit's
set -euo pipefail
cd "$(dirname "$0")/../.."
image=${1:?which image: service, ui or lambda}
python=${PYTHON:-python3}
engine=${ENGINE:-$(for one in buildah podman docker; do command -v "$one" && break; done || true)}
engine=$(basename "${engine:?install buildah, podman or docker}")
version=$("$python" -c 'from deployment.facts import VERSION; print(VERSION)')
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
created=$("$python" -c 'import datetime, os
print(datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))')
name=multimodal-sentiment
[ "$image" = service ] || name=$name-$image
tag=${2:-localhost/$name:$version}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
case $image in
service) file=deployment/images/service/Containerfile ;;
ui) file=deployment/images/ui/Containerfile ;;
lambda) file=deployment/aws/lambda/Containerfile ;;
*) echo "there is no image $image" >&2 && exit 2 ;;
esac
"$python" -m deployment.images.context "$image" "$context"

words=(-f "$file" -t "$tag" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created")
[ -z "${BASE:-}" ] || words+=(--build-arg "BASE=$BASE")
[ -z "${PLATFORM:-}" ] || words+=(--platform "$PLATFORM")
[ -z "${PIP_CONFIG_FILE:-}" ] || words+=(--secret "id=pip,src=$PIP_CONFIG_FILE")
[ -z "${PIP_CERT:-}" ] || words+=(--secret "id=ca,src=$PIP_CERT")
case $engine in
buildah) words=(bud --layers --isolation "${BUILDAH_ISOLATION:-chroot}" --format docker --timestamp "$SOURCE_DATE_EPOCH" "${words[@]}") ;;
podman) words=(build --format docker --timestamp "$SOURCE_DATE_EPOCH" "${words[@]}") ;;
docker) words=(build "${words[@]}") ;;
esac
# shellcheck disable=SC2086 # words they are
"$engine" "${words[@]}" ${BUILD_OPTIONS:-} "$context"
echo "$tag"
