"""An issuer's public keys (JWKS, RFC 7517), from a file or an address, kept and read again when that is called for."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from service.access.addresses import is_loopback
from service.access.refusals import KeysUnreachable, Unauthenticated
from service.access.tokens import VerifyingKey, public_key

TIME_LIMIT_SECONDS = 3.0
MAX_BYTES = 512_000
OLD_SECONDS = 300.0
"""Then keys are read again, so that one that was withdrawn is not good for ever."""
GIVE_UP_SECONDS = 24 * 3600.0
"""So long keys stay good while they can't be read again."""
RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class KeySet:
    """Public keys by their ids. Unknown ids make it read again, at most every `refresh_seconds`."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        refresh_seconds: float,
        close: Callable[[], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._close = close
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: dict[str | None, VerifyingKey] = {}
        self._read_at = self._next_try = float("-inf")
        self._failed = True
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> VerifyingKey:
        """The key with this id. Raises `KeysUnreachable` if the keys could not be read, else `Unauthenticated`."""
        if self._clock() - self._read_at > GIVE_UP_SECONDS:
            self._keys = {}
        if key_id not in self._keys:
            await self._refresh()
        elif self._clock() - self._read_at > OLD_SECONDS and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._refresh())
        key = self._keys.get(key_id)
        if key is not None:
            return key
        if self._failed:
            raise KeysUnreachable
        raise Unauthenticated("unknown", "The key that signed this token is not known here.")

    async def close(self) -> None:
        """Let go of connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        if self._close is not None:
            await self._close()

    async def _refresh(self) -> None:
        async with self._lock:
            if self._clock() < self._next_try:
                return
            try:
                self._keys = parse_keys(await asyncio.wait_for(self._read(), TIME_LIMIT_SECONDS))
            except (OSError, ValueError, httpx.HTTPError, asyncio.TimeoutError) as error:
                self._failed, wait = True, min(self._refresh_seconds, RETRY_SECONDS)
                log.warning(
                    "the keys that tokens are checked with could not be read: %s", error or type(error).__name__
                )
            else:
                self._failed, wait = False, self._refresh_seconds
                self._read_at = self._clock()
            self._next_try = self._clock() + wait


def key_set(place: str, refresh_seconds: float) -> KeySet:
    """The keys at an address or in a file. Raises `ValueError` for an address that others could forge."""
    address = urlsplit(place)
    if address.scheme not in ("http", "https"):
        return KeySet(_file_reader(Path(place)), refresh_seconds)
    if address.scheme == "http" and not is_loopback(address.hostname or ""):
        raise ValueError("SENTIMENT_JWT_JWKS must be an https address, or a file: over http keys could be forged.")
    client = httpx.AsyncClient(timeout=TIME_LIMIT_SECONDS, follow_redirects=False)
    return KeySet(_address_reader(client, place), refresh_seconds, client.aclose)


def parse_keys(content: bytes) -> dict[str | None, VerifyingKey]:
    """The keys of a JWKS that tokens can be checked with; a single one also under None. Raises `ValueError`."""
    document = json.loads(content)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("this is no list of keys")
    keys: dict[str | None, VerifyingKey] = {}
    for entry in listed:
        key = _key(entry)
        key_id = entry.get("kid") if key else None
        if key is not None and isinstance(key_id, str | None):
            keys[key_id] = key
    if len(keys) == 1:
        keys.setdefault(None, *keys.values())
    return keys


def _key(entry: Any) -> VerifyingKey | None:
    """None for a key of another kind or purpose: issuers publish those beside ours."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    try:
        key = public_key(jwt.PyJWK(entry).key)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return key if entry.get("alg", key.algorithm) == key.algorithm else None


def _file_reader(path: Path) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return path.read_bytes()

    return read


def _address_reader(client: httpx.AsyncClient, address: str) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        content = b""
        async with client.stream("GET", address) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"the issuer answered {response.status_code}")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise ValueError("the answer is too long")
        return content

    return read
