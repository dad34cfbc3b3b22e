"""What a fuzzer does to bytes: one to eight small damages, each drawn with a seeded generator."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

MAX_BYTES = 128 * 1024

_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 16, 100, 4096)
_TOKEN = re.compile(rb"[A-Za-z0-9]{4}")

Mutation = Callable[[bytearray, random.Random], None]


def mutated(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A damaged copy; now and then the beginning of it with the end of another file."""
    result = bytearray(data)
    if others and chance.random() < 0.1:
        other = chance.choice(others)
        result = result[: _place(result, chance)] + bytearray(other[_place(other, chance) :])
    for _ in range(1 << chance.randrange(4)):
        chance.choice(_MUTATIONS)(result, chance)
    return bytes(result[:MAX_BYTES])


def _place(data: bytes | bytearray, chance: random.Random) -> int:
    """Half of them near the beginning, where the headers are."""
    length = len(data)
    if length == 0:
        return 0
    return chance.randrange(min(length, 256)) if chance.random() < 0.5 else chance.randrange(length)


def _flip_bit(data: bytearray, chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _set_byte(data: bytearray, chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] = chance.randrange(256)


def _set_number(data: bytearray, chance: random.Random) -> None:
    """A number at the edge of its type, in either order of bytes."""
    width = chance.choice((1, 2, 3, 4, 8))
    value = chance.choice(_INTERESTING) & ((1 << 8 * width) - 1)
    place = _place(data, chance)
    data[place : place + width] = value.to_bytes(width, chance.choice(("little", "big")))


def _add(data: bytearray, chance: random.Random) -> None:
    """A number next to the one that is there."""
    width, order = chance.choice((1, 2, 4)), chance.choice(("little", "big"))
    place = _place(data, chance)
    value = int.from_bytes(data[place : place + width], order) + chance.randint(-35, 35)
    data[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, order)


def _delete(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    del data[place : place + 1 + chance.randrange(64)]


def _truncate(data: bytearray, chance: random.Random) -> None:
    if chance.random() < 0.2:
        del data[_place(data, chance) :]


def _repeat(data: bytearray, chance: random.Random) -> None:
    place, length = _place(data, chance), 1 + chance.randrange(128)
    target = _place(data, chance)
    data[target:target] = data[place : place + length] * (1 + chance.randrange(4))


def _copy(data: bytearray, chance: random.Random) -> None:
    place, length, target = _place(data, chance), 1 + chance.randrange(64), _place(data, chance)
    data[target : target + length] = data[place : place + length]


def _exchange_tokens(data: bytearray, chance: random.Random) -> None:
    """Names of chunks and atoms stand where others stood."""
    found = [match.start() for match in _TOKEN.finditer(data[:4096])]
    if len(found) > 1:
        one, other = chance.sample(found, 2)
        data[one : one + 4] = data[other : other + 4]


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _set_number,
    _set_number,
    _add,
    _add,
    _delete,
    _truncate,
    _repeat,
    _copy,
    _exchange_tokens,
)
