"""JSON Web Tokens: whose they are. The algorithm follows from the key's type, never from the token (RFC 8725)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from service.access.caller import SCOPES, Caller
from service.access.refusals import Unauthenticated

MIN_SECRET_BYTES = 32
"""Of HS256 (RFC 7518, section 3.2)."""
MIN_RSA_BITS = 2048
MAX_SUBJECT_CHARACTERS = 128

_REQUIRED: Any = {"require": ["exp", "sub"]}


@dataclass(frozen=True)
class VerifyingKey:
    """A key, and the one algorithm that it is used with."""

    key: Any
    algorithm: str


class KeySource(Protocol):
    """Where the key of a token is found."""

    async def find(self, key_id: str | None) -> VerifyingKey:
        """The key with this id. Raises `Refused`."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class OneKey:
    """The same key for every token, whatever id it names."""

    def __init__(self, key: VerifyingKey) -> None:
        self._key = key

    async def find(self, key_id: str | None) -> VerifyingKey:
        """The key."""
        return self._key

    async def close(self) -> None:
        """There is nothing to let go of."""


class Tokens:
    """Reads tokens of one issuer, meant for this service."""

    def __init__(self, source: KeySource, issuer: str | None, audience: str | None, leeway_seconds: float) -> None:
        self.source = source
        self._issuer = issuer
        self._audience = audience
        self._leeway_seconds = leeway_seconds

    async def caller(self, token: str) -> Caller:
        """Whose token this is. Raises `Unauthenticated`, or `KeysUnreachable` where nobody can tell.

        A signature is checked in 20 (HS256), 40 (RS256) or 80 (EdDSA) µs: less than a thread or a cache would cost in
        trouble.
        """
        key = await self.source.find(_key_id(token))
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway_seconds,
                options=_REQUIRED,
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("expired", "This token has expired.") from None
        except jwt.InvalidTokenError:
            raise Unauthenticated("invalid", "This token is not good here.") from None
        return _caller(claims)


def secret_key(secret: str) -> VerifyingKey:
    """HS256 with a shared secret. Raises `ValueError` if it is too short to be one."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"SENTIMENT_JWT_SECRET must have at least {MIN_SECRET_BYTES} bytes.")
    return VerifyingKey(secret.encode(), "HS256")


def public_key_file(path: Path) -> VerifyingKey:
    """The public key in a PEM file. Raises `OSError` or `ValueError`."""
    return public_key(load_pem_public_key(path.read_bytes()))


def public_key(key: object) -> VerifyingKey:
    """A public key with its algorithm: RS256 for RSA, EdDSA for Ed25519. Raises `ValueError` for any other."""
    if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return VerifyingKey(key, "RS256")
    if isinstance(key, Ed25519PublicKey):
        return VerifyingKey(key, "EdDSA")
    raise ValueError(f"Tokens are checked with RSA keys of at least {MIN_RSA_BITS} bits, or Ed25519 keys.")


def _key_id(token: str) -> str | None:
    try:
        found = jwt.get_unverified_header(token).get("kid")
    except jwt.InvalidTokenError:
        raise Unauthenticated("malformed", "This is not a token.") from None
    return found if isinstance(found, str) else None


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS or not subject.isprintable():
        raise Unauthenticated("invalid", "The subject of this token can't be a caller's name.")
    digest = hashlib.sha256(subject.encode(errors="replace")).hexdigest()[:12]
    return Caller(f"jwt:{subject}", frozenset(_scopes(claims)), tag=f"jwt:{digest}")


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    """What both usual claims allow: `scope`, words in a string, and `scopes`, a list."""
    words, listed = claims.get("scope"), claims.get("scopes")
    given = [*(words.split() if isinstance(words, str) else ()), *(listed if isinstance(listed, list) else ())]
    return {scope for scope in given if isinstance(scope, str)} & set(SCOPES)
