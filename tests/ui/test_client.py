"""The typed client: what it sends, what it gives back, and how each failure reads."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.serving import closed_port
from tests.ui.conftest import StandIn
from ui.client import NO_RETRIES, AsyncClient, Client, Problem, TookTooLong, UnexpectedAnswer, Unreachable


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a voice.ogg"
    path.write_bytes(b"OggS and so on")
    return path


def answering(response: httpx.Response) -> Client:
    return Client(transport=httpx.MockTransport(lambda _: response), retries=NO_RETRIES)


def test_a_text_is_answered_with_a_typed_verdict(stand_in: StandIn) -> None:
    with Client(stand_in.address) as client:
        answer = client.text("Lovely day", explain=True, aspects=("day",))
    assert (answer.sentiment.label, answer.sentiment.confidence) == ("positive", 0.81)
    assert answer.modalities.text is not None
    assert answer.modalities.text.text == "Lovely day"
    assert answer.explanation is not None
    assert answer.explanation.words[0].text == "Lovely"
    assert stand_in.seen == [{"text": "Lovely day", "explain": True, "aspects": ["day"]}]


def test_the_json_is_kept_as_it_came(stand_in: StandIn) -> None:
    with Client(stand_in.address) as client:
        answer = client.text("Lovely")
    assert answer.raw["timings"] == {"decode": 0.12, "total": 0.31}
    assert answer.raw["id"] == answer.id


def test_many_texts_give_an_answer_or_a_problem_each(stand_in: StandIn) -> None:
    with Client(stand_in.address) as client:
        first, second = client.texts(["Fine", ""])
    assert not isinstance(first, Problem)
    assert first.sentiment.label == "positive"
    assert isinstance(second, Problem)
    assert (second.code, second.status) == ("too_long", 422)


def test_a_file_goes_out_with_its_name_and_options(stand_in: StandIn, recording: Path) -> None:
    with Client(stand_in.address) as client:
        answer = client.audio(recording, transcribe="never", explain=True, min_confidence=0.5)
    assert answer.timeline[3].sentiment.grounded is False
    sent = stand_in.seen[0]
    assert (sent["file"], sent["bytes"]) == ("a voice.ogg", b"OggS and so on")
    assert (sent["transcribe"], sent["explain"], sent["min_confidence"]) == (["never"], ["true"], ["0.5"])


@pytest.mark.parametrize("wrap", [bytes, io.BytesIO])
def test_bytes_and_open_files_go_out_too(stand_in: StandIn, wrap: Callable[[bytes], bytes]) -> None:
    with Client(stand_in.address) as client:
        client.image(wrap(b"a picture"))
    assert stand_in.seen[0]["bytes"] == b"a picture"


def test_what_is_given_together_goes_out_together(stand_in: StandIn, recording: Path) -> None:
    with Client(stand_in.address) as client:
        client.analyze(text="Grüße 😍", audio=recording, aspects=["a", "b"])
    sent = stand_in.seen[0]
    assert sent["content-type"] == "multipart/form-data"
    assert (sent["text"], sent["audio"], sent["aspects"]) == (["Grüße 😍"], "a voice.ogg", ["a", "b"])


def test_a_text_alone_is_sent_to_analyze_as_multipart(stand_in: StandIn) -> None:
    with Client(stand_in.address) as client:
        client.analyze(text="alone")
    assert stand_in.seen[0] == {"content-type": "multipart/form-data", "text": ["alone"]}


async def test_the_asynchronous_client_does_the_same(stand_in: StandIn, recording: Path) -> None:
    async with AsyncClient(stand_in.address) as client:
        text = await client.text("Lovely")
        together = await client.analyze(text="Hello", video=recording)
        image, audio = await client.image(b"x"), await client.audio(b"x")
        several = await client.texts(["one", "two"])
        models, health = await client.models(), await client.health()
    assert [answer.kind for answer in (text, together, image, audio)] == ["text", "video", "image", "audio"]
    assert len(several) == 2
    assert (models[0].name, health.status) == ("text-minilm", "unhealthy")


async def test_the_asynchronous_client_raises_the_same_problem(stand_in: StandIn, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("just words")
    async with AsyncClient(stand_in.address) as client:
        with pytest.raises(Problem, match="looks like text"):
            await client.video(path)


def test_a_problem_carries_the_services_own_words(stand_in: StandIn) -> None:
    with Client(stand_in.address, retries=NO_RETRIES) as client, pytest.raises(Problem) as caught:
        client.text("too many")
    problem = caught.value
    assert str(problem) == problem.detail == "Wait a little."
    assert (problem.code, problem.status, problem.request_id) == ("rate_limited", 429, "req-7")
    assert problem.retry_after_seconds == 7


def test_models_and_health_are_read_even_when_the_service_is_unhealthy(stand_in: StandIn) -> None:
    with Client(stand_in.address) as client:
        assert client.models()[0].licence is None
        assert client.health().status == "unhealthy"


def test_a_health_that_is_a_problem_is_raised() -> None:
    body = {"code": "unauthenticated", "detail": "Send a key.", "status": 401}
    response = httpx.Response(401, json=body, headers={"content-type": "application/problem+json"})
    with answering(response) as client, pytest.raises(Problem, match="Send a key"):
        client.health()


def test_an_address_where_nobody_listens_is_said_plainly() -> None:
    with (
        closed_port() as port,
        Client(f"http://127.0.0.1:{port}", retries=NO_RETRIES) as client,
        pytest.raises(Unreachable, match=rf"http://127\.0\.0\.1:{port}.* is not reachable"),
    ):
        client.text("Hello")


def test_an_answer_that_takes_too_long_is_said_plainly() -> None:
    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late", request=request)

    client = Client(timeout_seconds=7, transport=httpx.MockTransport(late))
    with client, pytest.raises(TookTooLong, match="within 7 seconds"):
        client.text("Hello")


def test_a_connection_that_breaks_off_is_said_plainly() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("gone", request=request)

    with (
        Client(transport=httpx.MockTransport(broken), retries=NO_RETRIES) as client,
        pytest.raises(Unreachable, match="broke off"),
    ):
        client.text("Hello")


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>a login page</html>"),
        httpx.Response(502, text="Bad gateway"),
        httpx.Response(200, json={"hello": "world"}),
        httpx.Response(500, json=["odd"]),
    ],
    ids=["html", "gateway", "other-json", "list"],
)
def test_something_that_is_not_the_service_is_not_mistaken_for_it(response: httpx.Response) -> None:
    with answering(response) as client, pytest.raises(UnexpectedAnswer):
        client.text("Hello")


def test_a_missing_file_is_the_callers_error(stand_in: StandIn) -> None:
    with Client(stand_in.address) as client, pytest.raises(FileNotFoundError):
        client.audio("no-such-file.wav")
    assert stand_in.seen == []


def test_a_key_is_sent_as_a_bearer_token() -> None:
    asked: list[httpx.Request] = []

    def remember(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"status": "healthy"})

    with Client(api_key="secret", transport=httpx.MockTransport(remember)) as client:
        client.health()
    assert asked[0].headers["authorization"] == "Bearer secret"
