#!/usr/bin/env bash
# The pipeline, stage by stage, the same on a laptop and in GitHub Actions:
#
#   deployment/release/pipeline.sh check test build containerize scan sbom sign push deploy notify
#
#   REGISTRY       where images are pushed to (the one of deployment/facts.toml)
#   ARTIFACTS      folder of what the stages leave behind (dist)
#   SIGNING_KEY    private key (PEM, P-256) that signs; the public workflow signs keyless as well
#   PLAN, WAY      plan of a release, and blue-green or rolling (deployment/release/plan.example.toml)
#   NOTIFY         a command that gets one line on its standard input
#   ENGINE         buildah, podman or docker (deployment/images/build.sh)
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
artifacts=${ARTIFACTS:-dist}
images=(service ui)

fact() { "$python" -c "from deployment.facts import VERSION, facts; f = facts()['image']; print($1)"; }
registry() { echo "${REGISTRY:-$(fact "f['registry']")}"; }
name() { fact "f['$1'] + ':' + VERSION"; }
engine() { basename "${ENGINE:-$(for one in buildah podman docker; do command -v "$one" && break; done)}"; }

check() { make check; }

test_() { make test; }

build() {
    make build
}

containerize() {
    mkdir -p "$artifacts"
    for image in "${images[@]}"; do
        PYTHON=$python deployment/images/build.sh "$image" "localhost/$(name "$image")"
        case $(engine) in
        docker) docker save -o "$artifacts/$image.tar" "localhost/$(name "$image")" ;;
        *) rm -f "$artifacts/$image.tar" && "$(engine)" push "localhost/$(name "$image")" "docker-archive:$artifacts/$image.tar:$(name "$image")" ;;
        esac
    done
}

# Weaknesses of our own code, of the files that build images, and of the workflows; of dependencies where their list of
# vulnerabilities can be reached. `pip-audit --strict` fails where it could not look: it must not pass unseen.
scan() {
    tool bandit -q -r service ui models/registry.py deployment -c pyproject.toml
    find deployment -name Containerfile -print0 | xargs -0 "$(where hadolint)" --config deployment/release/hadolint.yaml
    tool actionlint
    tool zizmor --offline --quiet .github/workflows
    if [ "${AUDIT:-}" = yes ]; then tool pip-audit --strict --requirement deployment/images/locks/service.txt --no-deps --disable-pip; fi
}

sbom() {
    for image in "${images[@]}"; do
        PYTHON=$python deployment/images/sbom.sh "localhost/$(name "$image")" "$artifacts"
    done
    tool cyclonedx-py environment "$python" --of JSON -o "$artifacts/environment.cyclonedx.json"
}

# Every weights file, the archives of the images, and their bills of materials.
sign() {
    local key=${SIGNING_KEY:?the private key; deployment/images/sign.sh key FOLDER makes one}
    deployment/images/sign.sh weights "$key" "$artifacts/weights.statement"
    deployment/images/sign.sh files "$key" "$artifacts/images.statement" "$artifacts"/*.tar "$artifacts"/*.json
}

push() {
    for image in "${images[@]}"; do
        case $(engine) in
        docker) docker tag "localhost/$(name "$image")" "$(registry)/$(name "$image")" && docker push "$(registry)/$(name "$image")" ;;
        *) "$(engine)" push ${PUSH_OPTIONS:-} "localhost/$(name "$image")" "docker://$(registry)/$(name "$image")" ;;
        esac
    done
}

deploy() {
    "$python" -m deployment.release.checklist before ${BACKUP:+--backup "$BACKUP"}
    "$python" -m deployment.release "${WAY:-blue-green}" "${PLAN:?the plan of a release}"
    "$python" -m deployment.release.checklist after ${ADDRESS:+--address "$ADDRESS"} ${ALERTS:+--alerts "$ALERTS"}
}

notify() { echo "$(fact "f['service']") $(fact VERSION): ${SAID:-the pipeline passed}" | ${NOTIFY:-cat}; }

where() { "$python" -c "import sys; from deployment.tools import tool; t = tool('$1'); sys.exit(t.advice) if t.found is None else print(t.found)"; }
tool() { # its path is looked up first, so that a missing one ends the stage
    local path
    path=$(where "$1")
    "$path" "${@:2}"
}

[ $# -gt 0 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 2; }
for stage in "$@"; do
    echo "== $stage" >&2
    case $stage in
    test) test_ ;;
    check | build | containerize | scan | sbom | sign | push | deploy | notify) "$stage" ;;
    *) echo "there is no stage $stage" >&2 && exit 2 ;;
    esac
done
