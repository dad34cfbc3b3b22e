"""Answers that are the same but for their last digits, which batches, threads and processors move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from numbers import Real
from typing import Any

WITHIN = 0.002
"""Of a probability, a second or a pixel."""
LAST_DIGIT = 0.0002
"""The same computation twice may be rounded to neighbours."""


def differences(one: Any, other: Any, within: float = WITHIN) -> list[str]:
    """Where two answers differ, each as `/path: 1 is not 2`; numbers may differ a little, all else may not."""
    return list(_compared(_plain(one), _plain(other), within, ""))


def _compared(one: Any, other: Any, within: float, path: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        for key in one:
            yield from _compared(_plain(one[key]), _plain(other[key]), within, f"{path}/{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for place, (mine, its) in enumerate(zip(one, other, strict=True)):
            yield from _compared(_plain(mine), _plain(its), within, f"{path}/{place}")
    elif not (_close(one, other, within) or one == other):
        yield f"{path}: {one!r} is not {other!r}"


def _close(one: Any, other: Any, within: float) -> bool:
    numbers = all(isinstance(value, Real) and not isinstance(value, bool) for value in (one, other))
    return numbers and abs(one - other) <= within


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value
