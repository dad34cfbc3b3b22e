#!/usr/bin/env bash
# Signs files and images with a key of one's own (ECDSA over P-256), and verifies them. The public pipeline signs without
# a key (Sigstore); this is for who has no such service, and proves that what is verified is what was signed.
#
#   sign.sh key FOLDER                      makes FOLDER/signing.key and FOLDER/signing.pub
#   sign.sh files KEY STATEMENT FILE …      digests of the files to STATEMENT, its signature to STATEMENT.sig
#   sign.sh weights KEY STATEMENT           the same of every file of models/weights, and of models/registry.toml
#   sign.sh image KEY STATEMENT IMAGE …     the same of images, each by its digest in a registry (name@sha256:…)
#   sign.sh verify PUBLIC STATEMENT         the signature, and every file that the statement names; images are printed
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

seal() { openssl dgst -sha256 -sign "$1" -out "$2.sig" "$2"; }
case ${1:-} in
key)
    mkdir -p "$2"
    (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$2/signing.key")
    openssl ec -in "$2/signing.key" -pubout -out "$2/signing.pub" 2>/dev/null
    ;;
files)
    key=$2 statement=$3
    shift 3
    sha256sum -- "$@" >"$statement"
    seal "$key" "$statement"
    ;;
weights)
    (cd "$root" && find models/weights models/registry.toml -type f | LC_ALL=C sort | xargs sha256sum) >"$3"
    seal "$2" "$3"
    ;;
image)
    key=$2 statement=$3
    shift 3
    for image in "$@"; do
        [[ $image =~ @sha256:[0-9a-f]{64}$ ]] || { echo "$image has no digest: tags can be moved" >&2 && exit 2; }
        printf '%s  image:%s\n' "${image##*@sha256:}" "${image%@*}"
    done >"$statement"
    seal "$key" "$statement"
    ;;
verify)
    openssl dgst -sha256 -verify "$2" -signature "$3.sig" "$3" >/dev/null || { echo "the signature of $3 is not good" >&2 && exit 1; }
    sed -n 's/^\([0-9a-f]\{64\}\)  image:\(.*\)/\2@sha256:\1/p' "$3"
    files=$(grep -v '  image:' "$3" || true)
    [ -z "$files" ] || (cd "$root" && sha256sum --check --quiet --strict <<<"$files")
    ;;
*) sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
