"""Who is let in: credentials, scopes and rate limits of one request or WebSocket, before anything else happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.types import Scope

from service.access.addresses import Network, believe_proxies, bucket
from service.access.bursts import KINDS, Bursts
from service.access.caller import ANYONE, NOBODY, Caller
from service.access.credentials import Credential, credential_of
from service.access.hosts import Hosts
from service.access.key_ring import PREFIX, KeyRing
from service.access.policy import UNCOUNTED, Need, needed
from service.access.rates import Budget, Rates
from service.access.refusals import Forbidden, ForeignHost, ForeignOrigin, Refused, Unauthenticated
from service.access.tokens import Tokens
from service.observability import metrics

_TOLD_BY_BROWSERS = frozenset({b"host", b"origin", b"sec-fetch-site"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Authentication:
    """Keys, tokens, or both: a bearer that looks like a key is one."""

    def __init__(self, keys: KeyRing | None, tokens: Tokens | None) -> None:
        self._keys = keys
        self._tokens = tokens

    async def caller(self, credential: Credential) -> Caller:
        """Who this is. Raises `Refused`."""
        secret = credential.secret
        if self._keys is not None and (credential.is_key or self._tokens is None or secret.startswith(PREFIX)):
            return self._keys.caller(secret)
        if self._tokens is None or credential.is_key:
            raise Unauthenticated("malformed", "This service takes tokens: send Authorization: Bearer and a token.")
        return await self._tokens.caller(secret)

    async def close(self) -> None:
        """Let go of connections."""
        if self._tokens is not None:
            await self._tokens.source.close()


@dataclass(frozen=True)
class Admission:
    """Who was let in, and what they may still ask; `budget` is None where nothing is counted."""

    caller: Caller
    budget: Budget | None = None


class Door:
    """Lets callers in. Without arguments it lets in everybody, at no cost."""

    def __init__(
        self,
        authentication: Authentication | None = None,
        rates: Rates | None = None,
        trusted: Sequence[Network] = (),
        origins: Sequence[str] = (),
        *,
        protect_metrics: bool = False,
        hosts: Hosts | None = None,
    ) -> None:
        self._authentication = authentication
        self._rates = rates
        self._trusted = trusted
        self._origins = frozenset(origins)
        self._protect_metrics = protect_metrics
        self._hosts = hosts
        self._bursts = Bursts()
        self.guarded = authentication is not None or rates is not None
        """Whether `admit` has anything to do."""
        self.behind_proxies = bool(trusted)
        """Whether `believe` has anything to do."""

    def believe(self, scope: Scope) -> None:
        """Take client and scheme from trusted proxies."""
        believe_proxies(scope, self._trusted)

    async def admit(self, scope: Scope, endpoint: str) -> Admission:
        """Let in whoever sent the scope; its `caller` is set. Raises `Refused` or `RateLimited`."""
        caller = scope["caller"] = await self._known(scope, needed(endpoint, self._protect_metrics))
        if self._rates is None or endpoint in UNCOUNTED:
            return Admission(caller)
        return Admission(caller, await self._rates.spend(client_of(scope), caller.rate))

    def check_page(self, scope: Scope) -> None:
        """Refuse what a page of a stranger has a browser send. Raises `ForeignHost` and `ForeignOrigin`.

        Nobody but browsers sends `Origin` and `Sec-Fetch-Site`, and no page can change what they say. What only reads
        may be asked from anywhere, for CORS keeps the answer from the page; WebSockets are not covered by it.
        """
        found = {name: value for name, value in scope["headers"] if name in _TOLD_BY_BROWSERS}
        host = found.get(b"host")
        if self._hosts is not None and host is not None and not self._hosts.knows(host):
            metrics.auth_failed(ForeignHost.reason)
            raise ForeignHost
        if len(found) > 1 and scope.get("method") not in _READING and not self._is_own_page(found):
            metrics.auth_failed(ForeignOrigin.reason)
            raise ForeignOrigin

    def _is_own_page(self, found: Mapping[bytes, bytes]) -> bool:
        origin, site = found.get(b"origin"), found.get(b"sec-fetch-site")
        if origin is not None:
            name = origin.decode("latin-1")
            if self._origins & {"*", name} or name.partition("://")[2] == found.get(b"host", b"").decode("latin-1"):
                return True
        return origin is None if site is None else site in (b"same-origin", b"none")

    def answered(self, scope: Scope, status: int) -> None:
        """Watch for bursts of refusals."""
        if status in KINDS:
            self._bursts.note(client_of(scope), status)

    async def check_rates(self) -> None:
        """Raises if the shared rate limits can't be reached."""
        if self._rates is not None:
            await self._rates.check()

    async def close(self) -> None:
        """Let go of connections."""
        if self._authentication is not None:
            await self._authentication.close()
        if self._rates is not None:
            await self._rates.close()

    async def _known(self, scope: Scope, need: Need) -> Caller:
        if self._authentication is None:
            return ANYONE
        if need == "open":
            return NOBODY
        try:
            caller = await self._authenticated(scope, self._authentication)
            if need != "known" and not caller.may(need):
                scope["caller"] = caller
                raise Forbidden(need)
        except Refused as refused:
            metrics.auth_failed(refused.reason)
            if self._rates is not None:
                await self._rates.spend(client_of(scope))  # trying keys out has a limit too
            raise
        return caller

    async def _authenticated(self, scope: Scope, authentication: Authentication) -> Caller:
        credential = credential_of(scope)
        if credential is None:
            detail = "Send a key or token: Authorization: Bearer, or X-API-Key."
            raise Unauthenticated("missing", detail)
        return await authentication.caller(credential)


def client_of(scope: Scope) -> str:
    """Whose requests are counted together: the name of a known caller, else the address."""
    caller = scope.get("caller", NOBODY)
    return caller.name if caller not in (ANYONE, NOBODY) else f"address:{bucket(scope)}"
