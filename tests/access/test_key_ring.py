from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.key_ring import KeyFile, KeyRing, new_key, parse_records
from service.access.keys import main
from service.access.refusals import Unauthenticated


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def reason_of(ring: KeyRing, key: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        ring.caller(key)
    return refused.value.reason


def test_a_key_says_who_comes_and_what_they_may():
    key, record = new_key("shop", ["analyze"], rate="60/minute")
    caller = KeyRing([record]).caller(key)
    assert (caller.name, caller.scopes, caller.rate) == ("key:shop", {"analyze"}, "60/minute")
    assert record.id in caller.tag and caller.tag not in key.removeprefix("ms_" + record.id)


def test_keys_differ_and_are_long_enough_not_to_be_guessed():
    keys = {new_key("shop", ["analyze"])[0] for _ in range(50)}
    assert len(keys) == 50
    assert all(len(key.split("_", 2)[2]) >= 43 for key in keys)


def test_what_is_kept_does_not_hold_the_secret(file):
    key, record = new_key("shop", ["analyze"])
    file.add(record)
    text = file.path.read_text()
    assert key not in text and key.split("_", 2)[2] not in text


def test_a_key_with_another_secret_is_not_known():
    key, record = new_key("shop", ["analyze"])
    other, _ = new_key("shop", ["analyze"])
    forged = f"ms_{record.id}_{other.split('_', 2)[2]}"
    ring = KeyRing([record])
    assert reason_of(ring, forged) == "unknown"
    assert reason_of(ring, key[:-1]) == "unknown"
    assert reason_of(ring, other) == "unknown"


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=80))
def test_no_made_up_key_is_known(text):
    _, record = new_key("shop", ["analyze"])
    ring = KeyRing([record])
    for key in (text, f"ms_{record.id}_{text}", f"ms_{record.id}", record.sha256):
        assert reason_of(ring, key) == "unknown"


def test_an_expired_key_says_so():
    key, record = new_key("shop", ["analyze"], expires=datetime.now(timezone.utc) - timedelta(seconds=1))
    assert reason_of(KeyRing([record]), key) == "expired"


def test_a_revoked_key_is_refused_once_the_file_is_looked_at_again(file, clock):
    key, record = new_key("shop", ["analyze"])
    kept, other = new_key("office", ["analyze"])
    file.add(record)
    file.add(other)
    ring = KeyRing(file=file, clock=clock)
    assert ring.caller(key).name == "key:shop"
    file.revoke("shop")
    clock.seconds += 1.1
    assert reason_of(ring, key) == "unknown"
    assert ring.caller(kept).name == "key:office"


def test_a_new_key_is_known_once_the_file_is_looked_at_again(file, clock):
    ring = KeyRing(file=file, clock=clock)
    key, record = new_key("shop", ["analyze"])
    file.add(record)
    clock.seconds += 1.1
    assert ring.caller(key).name == "key:shop"


def test_deleting_the_file_revokes_all_its_keys(file, clock):
    key, record = new_key("shop", ["analyze"])
    file.add(record)
    ring = KeyRing(file=file, clock=clock)
    file.path.unlink()
    clock.seconds += 1.1
    assert reason_of(ring, key) == "unknown"


def test_a_slip_in_the_file_locks_nobody_out_while_running_but_stops_a_start(file, clock):
    key, record = new_key("shop", ["analyze"])
    file.add(record)
    ring = KeyRing(file=file, clock=clock)
    file.path.write_text("[{]")
    clock.seconds += 1.1
    assert ring.caller(key).name == "key:shop"
    with pytest.raises(ValueError, match="list of API keys"):
        KeyRing(file=file)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "f00"},
        {"scopes": ["everything"]},
        {"rate": "often"},
        {"id": "../../x"},
        {"created": "2026-01-01T00:00:00"},
        {"name": "a b"},
    ],
)
def test_a_wrong_record_is_refused_without_showing_it(wrong):
    _, record = new_key("shop", ["analyze"])
    good = {"id": record.id, "name": "shop", "sha256": record.sha256, "scopes": ["analyze"]}
    text = json.dumps([{**good, "created": "2026-01-01T00:00:00Z", **wrong}])
    with pytest.raises(ValueError, match="is wrong at 0/") as refused:
        parse_records(text)
    assert record.sha256 not in str(refused.value)


def test_the_command_makes_lists_and_revokes(file, capsys):
    named = ["--file", str(file.path)]
    assert main([*named, "create", "shop", "--scopes", "analyze,history", "--rate", "5/second"]) == 0
    key = capsys.readouterr().out.strip()
    assert KeyRing(file=file).caller(key).scopes == {"analyze", "history"}
    assert main([*named, "list"]) == 0
    listed = capsys.readouterr().out
    assert "shop" in listed and "5/second" in listed and key not in listed
    assert main([*named, "revoke", "shop"]) == 0
    assert main([*named, "revoke", "shop"]) == 1
    assert file.read() == []


def test_only_the_owner_may_read_the_file(file):
    umask = os.umask(0)
    try:
        file.add(new_key("shop", ["analyze"])[1])
    finally:
        os.umask(umask)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert list(file.path.parent.iterdir()) == [file.path]


def test_a_key_can_be_made_for_a_setting_without_a_file(capsys):
    assert main(["create", "shop", "--print", "--expires", "2999-01-01"]) == 0
    shown = capsys.readouterr()
    (line,) = [line for line in shown.err.splitlines() if line.startswith("For SENTIMENT_API_KEYS")]
    records = parse_records(line.partition(": ")[2])
    assert KeyRing(records).caller(shown.out.strip()).name == "key:shop"


@pytest.mark.parametrize(
    "arguments", [["create", "a b"], ["create", "a", "--scopes", "all"], ["create", "a", "--rate", "x"], ["drop"], []]
)
def test_a_wrong_command_makes_no_key(file, arguments, capsys):
    try:
        code = main(["--file", str(file.path), *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code
    assert not file.path.exists()


def test_commands_at_the_same_time_lose_no_key(file):
    command = [sys.executable, "-m", "service.access.keys", "--file", str(file.path), "create"]
    running = [subprocess.Popen([*command, f"shop{n}"], stdout=subprocess.DEVNULL) for n in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert {record.name for record in file.read()} == {"shop0", "shop1", "shop2"}
