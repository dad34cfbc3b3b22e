"""Which series an expression of Prometheus asks for: enough of the language for our own rules and dashboards."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS = frozenset({"and", "or", "unless", "by", "on", "without", "ignoring", "group_left", "group_right", "bool"})
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?![\w:]*\s*\()(\{[^}]*\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_STRING = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Selector:
    """A metric, and the labels that it is chosen by."""

    name: str
    labels: frozenset[str]


def selectors(expression: str) -> list[Selector]:
    """Every selector of an expression."""
    bare = re.sub(r"\boffset\s+\w+|\[[^\]]*\]", " ", _GROUPING.sub(" ", _STRING.sub('""', expression)))
    return [
        Selector(found[1], frozenset(_MATCHER.findall(found[2] or "")))
        for found in _SELECTOR.finditer(bare)
        if found[1] not in _WORDS
    ]


def grouped(expression: str) -> frozenset[str]:
    """The labels that an expression groups or joins by."""
    names = (name.strip() for found in _GROUPING.finditer(expression) for name in found[1].split(","))
    return frozenset(name for name in names if name)
