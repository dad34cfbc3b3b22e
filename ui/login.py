"""Who may see the page, where it asks: names and hashed passwords. `python -m ui.login NAME` makes an entry.

Passwords are hashed with scrypt (RFC 7914) as OWASP advises: N = 2^15, r = 8, p = 3, which takes 32 MB and 0.2 s.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import math
import re
import secrets
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.settings import Settings

COST, BLOCK, LANES = 15, 8, 3
MAX_MEMORY_BYTES = 1 << 27
MIN_PASSWORD_CHARACTERS = 10
MAX_PASSWORD_CHARACTERS = 1024
TRIES, TRIES_SECONDS = 10, 60.0
"""So often one address may try to log in; hashing is work."""
MAX_ADDRESSES = 10_000

_ENTRY = re.compile(r"([^\s:,]{1,64}):(scrypt\.\d{1,2}\.\d{1,2}\.\d{1,2}\.[\w\-]{22}\.[\w\-]{43})")


@dataclass(frozen=True)
class PasswordHash:
    """A salted scrypt hash. As text it is `scrypt.<log2 N>.<r>.<p>.<salt>.<hash>`: no `$`, which shells replace."""

    cost: int
    block: int
    lanes: int
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        return f"scrypt.{self.cost}.{self.block}.{self.lanes}.{_text(self.salt)}.{_text(self.digest)}"

    def fits(self, password: str) -> bool:
        """Whether this is the password; takes the same time whatever it is."""
        found = _scrypt(password, self.salt, self.cost, self.block, self.lanes)
        return hmac.compare_digest(found, self.digest)


def hashed(password: str) -> PasswordHash:
    """A new hash of a password. Raises `ValueError` if it is too short or too long."""
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise ValueError(f"A password has {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters.")
    salt = secrets.token_bytes(16)
    return PasswordHash(COST, BLOCK, LANES, salt, _scrypt(password, salt, COST, BLOCK, LANES))


def read_entries(text: str) -> dict[str, PasswordHash]:
    """The entries of a list, separated by commas or white space. Raises `ValueError`."""
    parts = [part for part in re.split(r"[\s,]+", text) if part]
    found = [_ENTRY.fullmatch(part) for part in parts]
    if not all(found):
        raise ValueError("Logins are entries as `python -m ui.login NAME` makes them; one of them is not.")
    return {match[1]: _read(match[2]) for match in found if match}


class Logins:
    """The names that may log in."""

    def __init__(self, entries: Mapping[str, PasswordHash]) -> None:
        self._entries = dict(entries)
        self._nobody = hashed(secrets.token_urlsafe())

    def __call__(self, name: str, password: str) -> bool:
        """Whether this name may come in with this password; a name that there is not takes as long to refuse."""
        known = self._entries.get(name)
        fits = (known or self._nobody).fits(password[:MAX_PASSWORD_CHARACTERS])
        return fits and known is not None


def logins(now: Settings) -> Logins | None:
    """Who may log in; None if the page is for everybody. Raises `ValueError` or `OSError`."""
    given = now.auth.get_secret_value() if now.auth else ""
    if now.auth_file is not None:
        given += "\n" + now.auth_file.read_text(encoding="utf-8")
    entries = read_entries(given)
    if not entries and now.auth_file is None:
        return None
    return Logins(entries)


class PatientLogin:
    """Lets one address try to log in a few times a minute only."""

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._clock = clock
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429 to whoever tries too often."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/login"):
            wait = self._wait((scope.get("client") or ("",))[0])
            if wait:
                refused = PlainTextResponse("Too many tries.", 429, {"Retry-After": str(math.ceil(wait))})
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _wait(self, address: str) -> float:
        """Seconds until this address may try again; 0 if it may now, which counts as a try."""
        tries = self._tries.setdefault(address, deque(maxlen=TRIES))
        self._tries.move_to_end(address)
        if len(self._tries) > MAX_ADDRESSES:
            self._tries.popitem(last=False)
        now = self._clock()
        if len(tries) == TRIES and now - tries[0] < TRIES_SECONDS:
            return TRIES_SECONDS - (now - tries[0])
        tries.append(now)
        return 0.0


def main(arguments: Sequence[str]) -> int:
    """Ask for a password and print the entry of a name."""
    if len(arguments) != 1 or not re.fullmatch(r"[^\s:,]{1,64}", arguments[0]):
        print("python -m ui.login NAME   (a name without spaces, colons and commas)", file=sys.stderr)
        return 2
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        print(f"{arguments[0]}:{hashed(password)}")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    text = password.encode(errors="surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=1 << cost, r=block, p=lanes, maxmem=MAX_MEMORY_BYTES, dklen=32)


def _read(text: str) -> PasswordHash:
    _, cost, block, lanes, salt, digest = text.split(".")
    return PasswordHash(int(cost), int(block), int(lanes), _bytes(salt), _bytes(digest))


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
