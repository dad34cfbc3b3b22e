"""Erasing a caller leaves nothing of them, neither in rows nor in files, and nothing of others is touched."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from service.database import Database
from service.erase import NotErased, Receipt, erase
from service.history.history import History, Wanted
from service.jobs.intake import Jobs, Wish
from service.settings import Settings
from tests.history.conftest import analysis
from tests.privacy.disk import holding

MARK = "a-sentence-of-theirs-4711"
OTHERS = "a-sentence-of-somebody-else"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_folder=tmp_path / "state")


async def keep_something(settings: Settings, owner: str, text: str) -> None:
    """Two analyses, and a job with a file that waits."""
    database = Database.of(settings)
    await History(database).save([analysis(text=text), analysis(text=f"{text} again")], owner)
    jobs = Jobs(settings, database)
    await jobs.admit(1)
    with jobs.folders.request() as folder:
        (folder / "audio").write_bytes(text.encode())
        wish = Wish(owner, "audio", {"options": {}, "files": ["audio"], "text": text}, "0" * 64, "seconds")
        await jobs.take_in(wish, folder)
    await database.close()


async def test_nothing_is_left_of_an_erased_caller_but_the_audit_line(settings):
    await keep_something(settings, "key:them", MARK)
    await keep_something(settings, "key:other", OTHERS)
    assert holding(settings.state_folder, MARK)

    receipt = await erase("key:them", settings)

    assert (receipt.jobs, receipt.analyses) == (1, 2)
    assert holding(settings.state_folder, MARK) == []
    assert holding(settings.state_folder, OTHERS)
    database = Database.of(settings)
    assert len([stored async for stored in History(database).newest("key:other", Wanted())]) == 2
    assert len(await Jobs(settings, database).newest("key:other", None, 10)) == 1
    await database.close()


async def test_the_receipt_can_be_checked(settings):
    await keep_something(settings, "key:them", MARK)
    receipt = await erase("key:them", settings)
    content = json.dumps({**asdict(receipt), "digest": ""}, sort_keys=True, separators=(",", ":"))
    assert receipt.digest == hashlib.sha256(content.encode()).hexdigest()
    assert replace(receipt, jobs=0).sealed().digest != receipt.digest


async def test_erasing_twice_finds_nothing_the_second_time(settings):
    await keep_something(settings, "key:them", MARK)
    first, second = await erase("key:them", settings), await erase("key:them", settings)
    assert (second.jobs, second.analyses) == (0, 0)
    assert second.audit > first.audit


async def test_a_folder_that_stays_is_no_receipt(settings, monkeypatch):
    await keep_something(settings, "key:them", MARK)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("held by somebody")

    with monkeypatch.context() as patch:
        patch.setattr("service.private_folders.shutil.rmtree", refuse)
        with pytest.raises(NotErased, match="could not be removed"):
            await erase("key:them", settings)
    assert (await erase("key:them", settings)).jobs > 0
    assert [path.name for path in (settings.state_folder / "jobs").iterdir()] == ["incoming"]


def test_the_command_prints_the_receipt(tmp_path):
    command = (sys.executable, "-m", "service.erase", "--caller", "key:nobody")
    environment = {"SENTIMENT_STATE_FOLDER": str(tmp_path / "state"), "PATH": "/usr/bin", "HOME": str(tmp_path)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert Receipt(**json.loads(told.stdout)).caller == "key:nobody"
