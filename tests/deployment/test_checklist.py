"""The checklist and the acceptance test, against the real service and against one that fails them."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from deployment.release import acceptance, checklist
from deployment.release.backup import save
from service.database import Database
from service.database.urls import async_url
from tests.serving import RunningService
from ui.client import Client


def told(when: str, **given: object) -> list[str]:
    """What the checklist prints."""
    lines: list[str] = []
    wanted = {"address": None, "alerts": None, "backup": None, "key": None, **given}
    checklist.go_through(checklist.CHECKLISTS[when], Namespace(**wanted), lines.append)
    return lines


async def backed_up(folder: Path) -> Path:
    """A backup of an empty database."""
    url = f"sqlite:///{folder / 'state' / 'sentiment.db'}"
    database = Database(url)
    await database.open()
    await database.close()
    save(folder / "backup", async_url(url))
    return folder / "backup"


@pytest.mark.server
def test_every_wish_of_a_user_comes_true(service: RunningService) -> None:
    lines: list[str] = []
    with Client(service.address) as client:
        assert acceptance.accept(client, lines.append) == 0, lines
    assert len(lines) == len(acceptance.WISHES)


@pytest.mark.server
def test_after_a_release_the_service_holds_what_the_list_asks(service: RunningService) -> None:
    lines = told("during", address=service.address) + told("after", address=service.address)
    assert [line for line in lines if line.startswith("OPEN") and "one in a thousand" not in line] == []
    assert any(line.startswith("-") and "--alerts" in line for line in lines)


async def test_before_a_release_the_checkout_holds_what_the_list_asks(tmp_path: Path) -> None:
    lines = told("before", backup=await backed_up(tmp_path))
    open_lines = [line for line in lines if line.startswith("OPEN")]
    assert all("committed" in line for line in open_lines), open_lines  # who runs the tests may be at work


async def test_a_broken_or_an_old_backup_is_an_open_line(tmp_path: Path) -> None:
    folder = await backed_up(tmp_path)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"made": "20', '"made": "10'))
    assert any(line.startswith("OPEN") and "hours old" in line for line in told("before", backup=folder))
    (folder / "database.sqlite").write_bytes(b"")
    assert any(line.startswith("OPEN") and "as it was saved" in line for line in told("before", backup=folder))


def test_a_service_that_is_not_there_leaves_lines_open() -> None:
    lines = told("after", address="http://127.0.0.1:9")
    assert len([line for line in lines if line.startswith("OPEN")]) == 4


@pytest.mark.parametrize(("tags", "here", "is_open"), [("", "", False), ("v{}", "v{}", False), ("v{}", "", True)])
def test_a_version_may_be_released_from_its_own_tag_and_from_no_other_commit(
    monkeypatch: pytest.MonkeyPatch, tags: str, here: str, is_open: bool
) -> None:
    said = {"--list": tags.format(checklist.VERSION), "--points-at": here.format(checklist.VERSION)}
    monkeypatch.setattr(checklist, "_git", lambda _tag, which, *_: said[which])
    lines: list[str] = []
    checklist.go_through((checklist.new_version,), Namespace(), lines.append)
    assert lines[0].startswith("OPEN") == is_open
