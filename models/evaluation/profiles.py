"""Recalibration profiles as files: TOML that the service reads, with a version that grows when one is written again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from models.registry import load_registry
from service.runners.profile import NAME, HeadProfile, Judged, Profile, Quality, WrongProfile, load_profile

BARE = re.compile("[A-Za-z0-9_-]+")


def profile_of(card: Mapping[str, Any], name: str, version: int) -> Profile:
    """The profile that a card gives. Raises `WrongProfile` for models whose weights have no digest here."""
    return Profile(
        format=1,
        name=name,
        version=version,
        date=card["date"],
        data=card["data"],
        data_sha256=card["data_sha256"],
        rows=card["rows"],
        heads={
            modality: _head(card["models"][modality], temperature, card["measured"][modality]["after"]["rows"])
            for modality, temperature in card["temperatures"].items()
        },
        judged={what: _judged(one) for what, one in card["measured"].items()},
    )


def next_version(path: Path, name: str) -> int:
    """The version after that of the file, if it holds a profile of this name; else 1.

    Raises `WrongProfile` for what is no name, and if the file is there and is no profile: nothing else is written over.
    """
    if not re.match(NAME, name):
        raise WrongProfile(f"{name!r} is no name of a profile; use up to 60 letters, digits, dots, dashes and lines.")
    if not path.exists():
        return 1
    there = load_profile(path)
    return there.version + 1 if there.name == name else 1


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile, at once: a service that reads it meanwhile sees the old or the new one."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text("\n".join(_lines(asdict(profile))) + "\n", encoding="utf-8")
    os.replace(draft, path)


def _head(identifier: str, temperature: float, rows: int) -> HeadProfile:
    entry = next((entry for entry in load_registry().values() if entry.identifier == identifier), None)
    if entry is None:
        raise WrongProfile(f"A profile belongs to weights of models/registry.toml, and {identifier} is not among them.")
    return HeadProfile(identifier, entry.sha256, entry.temperature, temperature, rows)


def _judged(measured: Mapping[str, Any]) -> Judged:
    return Judged(
        rows=measured["after"]["rows"],
        before=_quality(measured["before"]),
        after=_quality(measured["after"]),
        min_confidence=measured["min_confidence"],
        answered=measured["answered"]["after"]["share"],
        accuracy_of_answered=measured["answered"]["after"]["accuracy"],
        least_probability=measured["sets"]["least_probability"],
    )


def _quality(figures: Mapping[str, Any]) -> Quality:
    return Quality(**{field.name: figures[field.name] for field in fields(Quality)})


def _lines(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """A table of strings, numbers and tables as TOML: what is plain first, as TOML wants it."""
    plain = [f"{_key(key)} = {json.dumps(one, ensure_ascii=False)}" for key, one in table.items() if not _is_table(one)]
    if path and plain:
        yield f"\n[{'.'.join(map(_key, path))}]"
    yield from plain
    for key, value in table.items():
        if _is_table(value):
            yield from _lines(value, (*path, key))


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
