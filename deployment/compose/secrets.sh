#!/bin/sh
# Makes the secrets that are not there yet, in the folder secrets/ beside this file (or $1). Nothing is overwritten.
# Containers read the files as users of their own, so the files are readable and the folder is not.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

keep() { # name: standard input becomes the file, if there is none
    [ -e "$folder/$1" ] || cat >"$folder/$1"
}

openssl rand -hex 24 | keep postgres_password
openssl rand -hex 24 | keep grafana_password
printf 'postgresql://sentiment:%s@postgres:5432/sentiment\n' "$(cat "$folder/postgres_password")" | keep sentiment_database_url
echo | keep sentiment_api_keys # records, as `python -m service.access.keys create NAME --print` prints them, in [ ]
echo | keep ui_api_key         # the key that the page asks with
echo | keep ui_auth            # who may see the page: entries that `python -m ui.login NAME` makes
if [ ! -e "$folder/tls.crt" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$folder/tls.key" -out "$folder/tls.crt" 2>/dev/null
    chmod 644 "$folder/tls.key"
    echo "made a certificate that nobody trusts: put a real one into $folder/tls.crt and tls.key" >&2
fi
