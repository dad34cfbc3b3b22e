"""Who may see the page, and whose key it sends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.serving import CHECKOUT
from tests.ui.conftest import StandIn
from tests.ui.page_running import RunningPage, running_page
from ui.key_box import asks_for_key
from ui.login import TRIES, TRIES_SECONDS, Logins, PatientLogin, hashed, logins, main, read_entries
from ui.settings import Settings
from ui.visitors import MAX_VISITORS, VisitorKeys

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def entry() -> str:
    return f"alice:{hashed(PASSWORD)}"


def test_only_the_right_name_and_password_come_in(entry):
    found = Logins(read_entries(entry))
    assert found("alice", PASSWORD)
    assert not found("alice", PASSWORD + "x")
    assert not found("alice", "")
    assert not found("bob", PASSWORD)


def test_an_entry_holds_no_password_and_nothing_that_a_shell_replaces(entry):
    assert PASSWORD not in entry
    assert not set(entry) & set("$\"'\\ `")
    assert str(read_entries(entry)["alice"]) == entry.partition(":")[2]


def test_the_same_password_is_hashed_differently_each_time():
    assert str(hashed(PASSWORD)) != str(hashed(PASSWORD))


@given(st.text(alphabet="ab:.$-_09", min_size=1, max_size=90))
def test_what_is_no_entry_stops_a_start(text):
    with pytest.raises(ValueError, match=r"ui\.login"):
        logins(Settings(auth=SecretStr(text)))


def test_logins_come_from_a_setting_and_from_a_file(entry, tmp_path):
    path = tmp_path / "logins"
    path.write_text(entry.replace("alice", "bob") + "\n")
    both = logins(Settings(auth=SecretStr(entry), auth_file=path))
    assert both and both("alice", PASSWORD) and both("bob", PASSWORD)
    assert logins(Settings()) is None


def test_an_empty_file_of_logins_lets_in_nobody_rather_than_everybody(tmp_path):
    path = tmp_path / "logins"
    path.write_text("\n")
    found = logins(Settings(auth_file=path))
    assert found is not None and not found("alice", PASSWORD)


def test_the_command_makes_an_entry(entry):
    command = (sys.executable, "-m", "ui.login", "alice")
    made = subprocess.run(command, input=PASSWORD + "\n", capture_output=True, text=True, cwd=CHECKOUT, check=True)
    assert Logins(read_entries(made.stdout))("alice", PASSWORD)
    assert PASSWORD not in made.stdout + made.stderr


@pytest.mark.parametrize("arguments", [[], ["a b"], ["a:b"], ["a", "b"]])
def test_a_wrong_command_makes_none(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().out == ""


def test_a_short_password_is_not_hashed():
    with pytest.raises(ValueError, match="10 to"):
        hashed("short")


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_one_address_may_try_a_few_times_a_minute():
    async def app(scope, receive, send):
        await httpx_answer(send)

    async def httpx_answer(send):
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    clock = Clock()
    patient = PatientLogin(app, clock)

    async def tries(address: str, path: str = "/login") -> int:
        transport = httpx.ASGITransport(patient, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.post(path)).status_code

    assert [await tries("a") for _ in range(TRIES + 2)] == [400] * TRIES + [429] * 2
    assert await tries("b") == 400
    assert await tries("a", "/login/") == 429
    assert await tries("a", "/other") == 400
    clock.seconds += TRIES_SECONDS
    assert await tries("a") == 400


def client_of(page: RunningPage) -> httpx.Client:
    return httpx.Client(base_url=page.address, timeout=60)


def test_a_page_with_logins_shows_nothing_before_one_has_logged_in(stand_in: StandIn, tmp_path: Path, entry: str):
    with running_page(stand_in.address, tmp_path, UI_AUTH=entry) as page, client_of(page) as http:
        assert http.get("/health").status_code == 200
        assert http.get("/config").status_code == 401
        assert http.post("/gradio_api/upload", files={"files": ("a.txt", b"x")}).status_code == 401
        event = {"fn_index": 0, "data": ["x"], "session_hash": "abc"}
        assert http.post("/gradio_api/queue/join", json=event).status_code == 401
        assert http.post("/gradio_api/run/predict", json=event).status_code == 401
        assert http.get("/gradio_api/info").status_code == 401
        assert "Type or paste" not in http.get("/").text
        wrong = http.post("/login", data={"username": "alice", "password": "wrong password"})
        assert wrong.status_code == 400
        assert http.post("/login", data={"username": "alice", "password": PASSWORD}).status_code == 200
        assert http.get("/config").status_code == 200


def test_each_page_s_key_goes_with_what_that_page_asks_and_no_other():
    now: list[str | None] = [None]
    keys = VisitorKeys(lambda: now[0])
    keys.keep("one", " ms_first ")
    keys.keep("two", "ms_second")
    sent: list[str | None] = []

    def remember(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("authorization"))
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(remember), auth=keys) as http:
        for now[0] in ("one", "two", "three", None):
            http.get("http://service")
        keys.forget("one")
        now[0] = "one"
        http.get("http://service")
    assert sent == ["Bearer ms_first", "Bearer ms_second", None, None, None]


def test_keys_of_visitors_are_bounded_and_an_empty_one_is_forgotten():
    keys = VisitorKeys(lambda: "0")
    for number in range(MAX_VISITORS + 5):
        keys.keep(str(number), "ms_key")
    assert len(keys) == MAX_VISITORS
    keys.keep("7", " ")
    assert len(keys) == MAX_VISITORS - 1


@pytest.mark.parametrize("key", ["a b", "a\nb", "é", "a" * 9000])
def test_what_can_t_be_a_key_is_not_sent(key):
    keys = VisitorKeys(lambda: "one")
    with pytest.raises(ValueError):
        keys.keep("one", key)
    assert keys.key() is None


def test_a_service_s_document_says_whether_it_asks_for_a_key():
    assert asks_for_key({"paths": {"/v1/text": {"post": {"security": [{"bearer": ["analyze"]}]}}}})
    assert not asks_for_key({"paths": {"/v1/text": {"post": {}}}})
    assert not asks_for_key({})


def test_settings_are_printed_without_keys_and_hashes(entry):
    secret = {"UI_API_KEY": "ms_secret", "UI_AUTH": entry}
    printed = subprocess.run(
        (sys.executable, "-m", "ui.settings"),
        capture_output=True,
        check=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, **secret},
    ).stdout
    assert "UI_AUTH" in printed
    assert "ms_secret" not in printed and "scrypt" not in printed
