"""API keys: what is kept of them, the file they are kept in, and who a key belongs to.

A key is `ms_<id>_<secret>`. Kept is SHA-256 of the whole key: the secret has 256 random bits, so there is nothing to
guess that a slow hash would slow down, and a slow one would cost every request 50 ms and more.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

import limits
from pydantic import AfterValidator, AwareDatetime, StringConstraints, TypeAdapter, ValidationError

from service.access.caller import Caller
from service.access.refusals import Unauthenticated

PREFIX = "ms_"
CHECK_EVERY_SECONDS = 1.0
"""How often the file is looked at: a key that was revoked is refused after this time at the latest."""

log = logging.getLogger(__name__)


def checked_rate(text: str) -> str:
    """The text, if it is a rate like `60/minute`. Raises `ValueError`."""
    try:
        limits.parse(text)
    except ValueError:
        raise ValueError(f"A rate is like 60/minute, and not like {text!r}.") from None
    return text


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}$")]
Scope = Literal["analyze", "history", "admin"]
Rate = Annotated[str, AfterValidator(checked_rate)]


@dataclass(frozen=True)
class KeyRecord:
    """One key without its secret. Keys of one `name` are one caller, so that a key can be replaced by a new one."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{10}$")]
    name: Name
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...]
    created: AwareDatetime
    rate: Rate | None = None
    """As `60/minute`; None for what everybody may."""
    expires: AwareDatetime | None = None

    def caller(self) -> Caller:
        """Who comes with this key."""
        return Caller(f"key:{self.name}", frozenset(self.scopes), tag=f"key:{self.id}", rate=self.rate)


_RECORDS = TypeAdapter(list[KeyRecord])


def new_key(
    name: str, scopes: Sequence[Scope], rate: str | None = None, expires: datetime | None = None
) -> tuple[str, KeyRecord]:
    """A new key, and what to keep of it. Raises `ValueError` for a wrong name, scope or rate."""
    identifier = base64.b32encode(secrets.token_bytes(7)).decode().lower()[:10]
    key = f"{PREFIX}{identifier}_{secrets.token_urlsafe(32)}"
    now = datetime.now(timezone.utc).replace(microsecond=0)
    record = KeyRecord(identifier, name, _digest(key), tuple(scopes), now, rate, expires)
    return key, _RECORDS.validate_json(_RECORDS.dump_json([record]))[0]


def parse_records(text: str | bytes) -> list[KeyRecord]:
    """The records in a JSON list. Raises `ValueError`, which names the wrong member and not its value."""
    try:
        return _RECORDS.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "/".join(str(part) for part in first["loc"])
        raise ValueError(f"The list of API keys is wrong at {place or 'its start'}: {first['msg']}.") from None


class KeyFile:
    """A JSON file of key records, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[KeyRecord]:
        """What it holds; nothing if there is no file, so that deleting it revokes all. Raises `ValueError`."""
        try:
            return parse_records(self.path.read_bytes())
        except FileNotFoundError:
            return []

    def add(self, record: KeyRecord) -> None:
        """Keep one more."""
        with self._alone():
            self._write([*self.read(), record])

    def revoke(self, name_or_id: str) -> list[KeyRecord]:
        """Drop the key of this id, or every key of this name; which they were."""
        with self._alone():
            records = self.read()
            gone = [record for record in records if name_or_id in (record.id, record.name)]
            self._write([record for record in records if record not in gone])
        return gone

    def version(self) -> tuple[int, int, int] | None:
        """Differs after each change; None if there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _write(self, records: Sequence[KeyRecord]) -> None:
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            output.write(_RECORDS.dump_json(list(records), indent=1) + b"\n")
            output.flush()
            os.fsync(output.fileno())
        fresh.replace(self.path)  # whoever reads sees the old file or the new one, never half of one

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commands from writing at the same time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


class KeyRing:
    """The keys that are good now: those given for good, and those in a file, which is read again when it changes."""

    def __init__(
        self,
        given: Sequence[KeyRecord] = (),
        file: KeyFile | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given = _by_id(given)
        self._file = file
        self._clock = clock
        self._version = file.version() if file else None
        self._records: Mapping[str, KeyRecord] = {**_by_id(file.read() if file else ()), **self._given}
        self._looked = clock()
        if file and self._version and file.path.stat().st_mode & 0o022:
            log.warning("others may write the file of API keys, and so make keys: chmod 600 it")

    def __len__(self) -> int:
        return len(self._records)

    def caller(self, key: str) -> Caller:
        """Whose key this is. Raises `Unauthenticated`."""
        self._look()
        identifier = key.removeprefix(PREFIX).partition("_")[0]
        record = self._records.get(identifier)
        if record is None or not hmac.compare_digest(record.sha256, _digest(key)):
            raise Unauthenticated("unknown", "This key is not known here, or was revoked.")
        if expired(record, datetime.now(timezone.utc)):
            raise Unauthenticated("expired", "This key has expired.")
        return record.caller()

    def _look(self) -> None:
        now = self._clock()
        if self._file is None or now - self._looked < CHECK_EVERY_SECONDS:
            return
        self._looked = now
        version = self._file.version()
        if version != self._version and self._read(self._file):
            self._version = version

    def _read(self, file: KeyFile) -> bool:
        """Take the file's keys; one that can't be read changes nothing, for a slip must not lock everybody out.

        Whether it could be read; else it is tried again at the next look.
        """
        try:
            self._records = {**_by_id(file.read()), **self._given}
        except (OSError, ValueError) as error:
            log.error("the API keys were not read again, and those from before stay good: %s", error)
            return False
        log.info("API keys were read again", extra={"fields": {"keys": len(self)}})
        return True


def expired(record: KeyRecord, now: datetime) -> bool:
    """Whether its time is over."""
    return record.expires is not None and record.expires <= now


def _by_id(records: Sequence[KeyRecord]) -> dict[str, KeyRecord]:
    return {record.id: record for record in records}


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
