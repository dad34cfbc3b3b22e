#!/bin/sh
# Loads the stand-in into an engine (DOCKER_HOST) under each tag that the Compose files name:  tag.sh standins.tar
# Grafana is in no Debian, and is left out.
set -eu
docker load -q -i "$1"

image() { # tag, entrypoint, command
    container=$(docker create standins:latest true)
    docker commit --change "ENTRYPOINT $2" --change "CMD $3" "$container" "$1" >/dev/null
    docker rm "$container" >/dev/null
}
image nginx:1.28-bookworm '[]' '["nginx", "-g", "daemon off;"]'
image redis:7.4-bookworm '[]' '["redis-server"]'
image postgres:17-bookworm '["docker-entrypoint.sh"]' '["postgres"]'
image prom/prometheus:v3.5.0 '["prometheus"]' '[]'
image prom/alertmanager:v0.28.1 '["prometheus-alertmanager"]' '[]'
