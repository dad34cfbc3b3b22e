"""What is saved comes back, on both databases; what is broken is refused."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from deployment.release.backup import MANIFEST, SQLITE, BackupFailed, check, main, restore, save
from service.database import Database
from service.database.urls import async_url
from service.history.history import History, Wanted
from tests.history.conftest import analysis, listed

OWNER = "somebody"


async def fill(url: str, *texts: str) -> None:
    """Keep analyses of these texts."""
    database = Database(url)
    try:
        for text in texts:
            await History(database).save([analysis(text=text)], OWNER)
    finally:
        await database.close()


async def kept(url: str) -> set[str]:
    """The texts that are kept."""
    database = Database(url)
    try:
        rows = await listed(History(database).newest(OWNER, Wanted()))
        return {json.loads(row.analysis)["modalities"]["text"]["text"] for row in rows}
    finally:
        await database.close()


async def test_a_backup_brings_back_what_was_kept_and_nothing_later(database_url: str, tmp_path: Path) -> None:
    await fill(database_url, "one", "two")
    save(tmp_path / "backup", async_url(database_url))
    await fill(database_url, "three")
    assert await kept(database_url) == {"one", "two", "three"}
    restore(tmp_path / "backup", async_url(database_url), replace=True)
    assert await kept(database_url) == {"one", "two"}


async def test_a_backup_is_for_its_owner_alone_and_holds_only_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state' / 'sentiment.db'}"
    await fill(url, "one")
    save(tmp_path / "backup", async_url(url))
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {SQLITE, MANIFEST}
    assert stat.S_IMODE(os.stat(tmp_path / "backup").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "backup" / SQLITE).st_mode) == 0o600


async def test_a_backup_that_was_changed_is_refused_and_the_database_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state' / 'sentiment.db'}"
    await fill(url, "one")
    save(tmp_path / "backup", async_url(url))
    copy = tmp_path / "backup" / SQLITE
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    with pytest.raises(BackupFailed, match="not as it was saved"):
        restore(tmp_path / "backup", async_url(url), replace=True)
    assert await kept(url) == {"one"}


async def test_nothing_is_overwritten_unless_it_is_said(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state' / 'sentiment.db'}"
    await fill(url, "one")
    save(tmp_path / "backup", async_url(url))
    with pytest.raises(BackupFailed, match="--replace"):
        restore(tmp_path / "backup", async_url(url))
    with pytest.raises(BackupFailed, match="not empty"):
        save(tmp_path / "backup", async_url(url))


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 1
    assert "holds no backup" in capsys.readouterr().err
    with pytest.raises(BackupFailed):
        check(tmp_path)
