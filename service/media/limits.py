"""How much one file may ask for."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PICTURE_SIDE = 1920
"""Longest side in pixels of a decoded picture; larger ones are scaled down."""

MAX_FRAMES = 8
"""Most frames of a video in one chunk."""


@dataclass(frozen=True)
class Limits:
    """What a decoder allows; the caller builds it from its settings.

    `decoders` files of each sort, pictures and recordings, are decoded at the same time, and `waiting` more of each
    may wait for their turn. The rest holds for one decoding process: `memory_bytes` of address space, `cpu_seconds`
    of processor time, and `stall_seconds` without any output while somebody waits for it.
    """

    max_pixels: int = 50_000_000
    decoders: int = 2
    waiting: int = 64
    memory_bytes: int = 1_500_000_000
    cpu_seconds: int = 120
    stall_seconds: float = 20.0
