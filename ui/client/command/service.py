"""`models` and `health`."""

from __future__ import annotations

import argparse
import dataclasses
import json

from ui.client.blocking import Client


def models(client: Client, given: argparse.Namespace) -> int:
    """The models that answer."""
    found = client.models()
    if given.json:
        print(json.dumps([dataclasses.asdict(model) for model in found], ensure_ascii=False, indent=2))
        return 0
    for model in found:
        languages = ", ".join(model.languages)
        served = "" if model.served else "  (not served)"
        print(f"{model.name:22} {model.version:8} {model.task:22} {languages:8} {model.licence or ''}{served}".rstrip())
    return 0


def health(client: Client, given: argparse.Namespace) -> int:
    """How the service is; 1 if it is unhealthy."""
    found = client.health()
    if given.json:
        print(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2))
    else:
        print(found.status)
        for name, state in found.dependencies.items():
            said = ", ".join(f"{part} {how}" for part, how in state.items()) if isinstance(state, dict) else state
            print(f"  {name:10} {said}")
    return 1 if found.status == "unhealthy" else 0
