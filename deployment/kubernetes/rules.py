"""Writes the rules of `deployment/monitoring` as the Prometheus operator and the Helm chart want them.

python -m deployment.kubernetes.rules
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOYMENT = Path(__file__).parents[1]
SOURCES = tuple(DEPLOYMENT / "monitoring" / "rules" / name for name in ("recording.yml", "alerts.yml"))
KUSTOMIZE = DEPLOYMENT / "kubernetes" / "components" / "monitoring" / "rules.yaml"
HELM = DEPLOYMENT / "helm" / "multimodal-sentiment" / "files" / "rules.yaml"
HEADER = "# Written by `python -m deployment.kubernetes.rules` from deployment/monitoring/rules; edit those.\n"


def groups() -> list[dict[str, Any]]:
    """The groups of rules, as Prometheus reads them."""
    return [group for source in SOURCES for group in yaml.safe_load(source.read_text())["groups"]]


def prometheus_rule() -> dict[str, Any]:
    """The same for the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "multimodal-sentiment"},
        "spec": {"groups": groups()},
    }


def main() -> None:
    """Write both files."""
    for path, content in ((KUSTOMIZE, prometheus_rule()), (HELM, {"groups": groups()})):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + yaml.safe_dump(content, sort_keys=False, width=10_000))
        print(path.relative_to(DEPLOYMENT.parent))


if __name__ == "__main__":
    main()
