"""Digests of what a cache or a checkpoint was made from, so that one made from anything else is never taken for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.registry import sha256


def fingerprint(*parts: Any) -> str:
    """The SHA-256 digest, in hexadecimal, of values: files by content, arrays and tensors by type, shape and bytes.

    Dataclasses count by their class's name and fields, mappings and sequences by what they hold, the rest by `repr`.
    Raises `TypeError` for an object whose `repr` says nothing but where it lies.
    """
    digest = hashlib.sha256()
    for piece in _pieces(parts):
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, Path):
        yield sha256(value).encode()
    elif hasattr(value, "detach"):
        yield from _pieces(value.detach().cpu().numpy())
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _pieces((type(value).__name__, asdict(value)))
    elif isinstance(value, Mapping):
        yield from _pieces([(key, value[key]) for key in sorted(value)])
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        yield f"{len(value)} values".encode()
        for each in value:
            yield from _pieces(each)
    elif isinstance(value, (str, bytes, int, float, type(None))):
        yield repr(value).encode()
    else:
        raise TypeError(f"A {type(value).__name__} has no fingerprint.")
