"""What a check is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from tests.deployment.conformance.target import Target


class Missed(AssertionError):
    """The target does not do what it must."""


class NotAsked(Exception):
    """The target does not claim to do that."""


@dataclass(frozen=True)
class Check:
    """One promise; called with a target it raises `Missed` or `NotAsked`, or returns."""

    name: str
    needs: frozenset[str]
    ask: Callable[[Target], None]

    def __call__(self, target: Target) -> None:
        """Ask. Raises `Missed` and `NotAsked`."""
        lacking = sorted(self.needs - target.abilities)
        if lacking:
            raise NotAsked(f"without {', '.join(lacking)}")
        self.ask(target)

    def __str__(self) -> str:
        return self.name


CHECKS: list[Check] = []
"""All checks, in the order in which they are written."""


def check(*needs: str) -> Callable[[Callable[[Target], None]], Check]:
    """A function as a check that needs these abilities of its target."""

    def registered(ask: Callable[[Target], None]) -> Check:
        one = Check(ask.__name__, frozenset(needs), ask)
        CHECKS.append(one)
        return one

    return registered


def must(truth: object, otherwise: str) -> None:
    """Raises `Missed` with the sentence if it is not so."""
    if not truth:
        raise Missed(otherwise)


def answered(response: httpx.Response, status: int = 200) -> Any:
    """The JSON of an answer with this status. Raises `Missed`."""
    must(
        response.status_code == status,
        f"{response.url}: {response.status_code} instead of {status}: {_start(response)}",
    )
    kind = response.headers.get("content-type", "")
    must("json" in kind, f"{response.url}: {kind or 'nothing'} instead of JSON")
    return response.json()


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem of an answer with this status and code. Raises `Missed`."""
    problem = answered(response, status)
    kind = response.headers["content-type"]
    must(kind.startswith("application/problem+json"), f"{response.url}: the problem is {kind}")
    must(problem.get("code") == code, f"{response.url}: the problem is {problem.get('code')} instead of {code}")
    return problem


def _start(response: httpx.Response) -> str:
    return response.text[:200]
