"""API keys that visitors bring along: in this process's memory while their page is open, and nowhere else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator

import httpx
from gradio.context import LocalContext

MAX_VISITORS = 1000
MAX_KEY_CHARACTERS = 8192
"""Tokens are keys too."""


def session_now() -> str | None:
    """The page that the event which runs now came from."""
    request = LocalContext.request.get(None)
    return request.session_hash if request is not None else None


class VisitorKeys(httpx.Auth):
    """Remembers a key for each open page, and sends it with what that page asks of the service."""

    def __init__(self, session: Callable[[], str | None] = session_now) -> None:
        self._session = session
        self._keys: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def keep(self, session: str, key: str) -> None:
        """Remember a page's key; an empty one is forgotten. Raises `ValueError` for what can't be a key."""
        key = key.strip()
        self.forget(session)
        if not key:
            return
        if len(key) > MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("This can't be a key.")
        self._keys[session] = key
        if len(self._keys) > MAX_VISITORS:
            self._keys.popitem(last=False)

    def forget(self, session: str) -> None:
        """A page was closed."""
        self._keys.pop(session, None)

    def key(self) -> str | None:
        """The key of the page that the event which runs now came from."""
        session = self._session()
        return self._keys.get(session) if session else None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Let the request carry the page's key; httpx calls this for each."""
        key = self.key()
        if key is not None:
            request.headers["Authorization"] = f"Bearer {key}"
        yield request
