#!/bin/sh
# Makes missing secrets and starts everything; returns when all of it is healthy.
set -eu
cd "$(dirname "$0")"
sh secrets.sh
exec docker compose up --detach --wait "$@"
