"""Writes what a training run made into the registry."""

from __future__ import annotations

from typing import Any

import tomlkit

from models.registry import FOLDER, REGISTRY, sha256


def publish(name: str, *, file: str, files: tuple[str, ...] = (), **values: Any) -> None:
    """Add or replace the entry `name`: digests are taken from the files, everything else from `values`.

    `file` and `files` are paths relative to `models/`; `values` are the other fields of `ModelEntry`.
    """
    document = tomlkit.parse(REGISTRY.read_text(encoding="utf-8")) if REGISTRY.exists() else tomlkit.document()
    document[name] = {
        **values,
        "file": file,
        "sha256": sha256(FOLDER / file),
        "files": {extra: sha256(FOLDER / extra) for extra in files},
    }
    REGISTRY.write_text(tomlkit.dumps(document), encoding="utf-8")
