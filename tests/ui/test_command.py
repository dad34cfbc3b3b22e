"""`python -m ui.client`: what it sends where, what it prints, and how it ends."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.jobs_running import until
from tests.serving import CHECKOUT
from tests.ui.conftest import StandIn
from ui.client.command import main


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """One of each kind."""
    contents = {
        "note.txt": "Gr\u00fc\u00dfe from here",
        "voice.ogg": "OggS",
        "face.jpg": "\xff\xd8\xff",
        "film.mp4": "a film",
        "long.mkv": "a very long film",
        "rows.csv": "text\ngood\n",
        "wrong.mp4": "just words",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content.encode("utf-8" if name.endswith("txt") else "latin-1"))
    return tmp_path


@pytest.fixture(autouse=True)
def asked(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The service that the environment names."""
    monkeypatch.setenv("SENTIMENT_API_URL", stand_in.address)
    monkeypatch.delenv("SENTIMENT_API_KEY", raising=False)
    return stand_in


def test_each_file_goes_to_its_route_and_is_a_line_of_a_table(
    files: Path, asked: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(files / name) for name in ("note.txt", "voice.ogg", "face.jpg", "film.mp4")]
    assert main(["analyze", "--text", "Lovely", *paths]) == 0
    shown = capsys.readouterr()
    lines = [line for line in shown.out.splitlines() if not line.startswith("  ")]
    assert lines[0].split() == ["FILE", "VERDICT", "SURE", "VALENCE", "EMOTION", "TEXT"]
    assert ["positive" in line and "81 %" in line for line in lines[1:]] == [True] * 5
    assert lines[1].startswith("text-1")
    assert "Some words may be wrong" in shown.out
    assert [one.get("text", one.get("file")) for one in asked.seen] == [
        "Lovely",
        "Gr\u00fc\u00dfe from here",
        "voice.ogg",
        "face.jpg",
        "film.mp4",
    ]
    assert shown.err == ""


def test_only_the_options_that_were_given_are_sent(files: Path, asked: StandIn) -> None:
    main(["analyze", "--text", "a"])
    options = ["--explain", "--language", "en", "--min-confidence", "0.6", "--store", "--no-transcribe"]
    main(["analyze", "--text", "b", *options])
    assert asked.seen[0] == {"text": "a"}
    assert asked.seen[1] == {
        "text": "b",
        "explain": True,
        "language": "en",
        "min_confidence": 0.6,
        "store": True,
        "transcribe": "never",
    }


def test_one_file_as_json_is_the_analysis_and_several_are_a_list(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["analyze", "--json", str(files / "film.mp4")])
    assert json.loads(capsys.readouterr().out)["kind"] == "video"
    main(["analyze", "--json", str(files / "film.mp4"), str(files / "face.jpg"), str(files / "rows.csv")])
    one, two, rows = json.loads(capsys.readouterr().out)
    assert (one["kind"], two["kind"], len(rows["results"])) == ("video", "image", 2)


def test_json_lines_and_csv_have_a_line_a_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["--text", "=1+1 is a formula", "--text", "fine, really"]
    main(["analyze", "--jsonl", *texts])
    assert [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()] == ["text-1", "text-2"]
    main(["analyze", "--csv", *texts])
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (first["label"], first["confidence"], first["text"]) == ("positive", "0.81", "'=1+1 is a formula")
    assert (second["file"], second["text"]) == ("text-2", "fine, really")


def test_subtitles_tell_what_was_said_and_how_it_was_meant(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["analyze", "--srt", str(files / "voice.ogg")])
    first, second = capsys.readouterr().out.strip().split("\n\n")
    assert first.splitlines() == [
        "1",
        "00:00:00,400 --> 00:00:03,000",
        "And so my fellow Americans,",
        "[neutral 80 %, happy]",
    ]
    assert second.splitlines()[-1] == "[positive 56 %, happy]"
    main(["analyze", "--vtt", str(files / "voice.ogg")])
    assert capsys.readouterr().out.startswith("WEBVTT\n\n00:00:00.400 --> 00:00:03.000\n")


def test_each_file_gets_a_document_in_a_folder_also_two_of_one_name(files: Path) -> None:
    (files / "again").mkdir()
    (files / "again" / "film.mp4").write_bytes(b"a film")
    names = ["film.mp4", "again/film.mp4", "rows.csv"]
    assert main(["analyze", "--output", str(files / "out"), *(str(files / name) for name in names)]) == 0
    assert sorted(path.name for path in (files / "out").iterdir()) == [
        "film.mp4-2.json",
        "film.mp4.json",
        "rows.csv.json",
    ]
    assert json.loads((files / "out" / "film.mp4.json").read_text())["kind"] == "video"


def test_a_table_goes_as_a_job_and_is_summed_up(
    files: Path, asked: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(files / "rows.csv"), "--column", "review"]) == 0
    shown = capsys.readouterr().out
    assert "2 texts" in shown
    assert "50.0 %" in shown
    assert (asked.seen[0]["file"], asked.seen[0]["column"]) == ("rows.csv", ["review"])
    main(["analyze", str(files / "rows.csv"), "--csv"])
    assert capsys.readouterr().out.startswith("row,label")


def test_a_video_that_is_too_long_at_once_goes_as_a_job(
    files: Path, asked: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", "--json", str(files / "long.mkv")]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "video"
    assert [one.get("file", one.get("video")) for one in asked.seen[:2]] == ["long.mkv", "long.mkv"]
    assert len(asked.jobs) == 1


def test_lines_of_a_text_file_are_texts_of_a_job_where_a_job_is_asked_for(files: Path, asked: StandIn) -> None:
    main(["analyze", "--job", str(files / "note.txt")])
    assert asked.seen[0]["file"] == "note.txt"


def test_a_detached_job_is_named_and_left_alone(
    files: Path, asked: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["analyze", "--detach", str(files / "film.mp4")])
    assert capsys.readouterr().out.split("\t")[0] == "job-0"
    assert asked.jobs["job-0"]["state"] == "queued"


def test_what_fails_is_said_in_a_sentence_and_the_rest_goes_on(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["wrong.mp4", "film.mp4", "missing.wav"]
    assert main(["analyze", "--jsonl", *(str(files / name) for name in names)]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    wrong, missing = shown.err.splitlines()
    assert wrong.endswith("wrong.mp4: This looks like text, not like a video. (unsupported_media)")
    assert missing.endswith("missing.wav: No such file or directory")


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["analyze"],
        ["analyze", "-", "-"],
        ["analyze", "--srt", "a.mp4", "b.mp4"],
        ["analyze", "--json", "--csv", "a"],
        ["analyze", "--min-confidence", "2", "a"],
        ["history", "delete"],
        ["jobs"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_ends_with_two(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(wrong)
    assert caught.value.code == 2


def test_a_key_for_a_host_without_https_ends_with_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SENTIMENT_API_KEY", "sk-very-secret")
    assert main(["health", "--url", "http://sentiment.example.org"]) == 2
    shown = capsys.readouterr()
    assert "unencrypted" in shown.err
    assert "sk-very-secret" not in shown.err + shown.out


@pytest.mark.parametrize(
    ("content", "kind"), [(b"Hello there", "text"), (b"\xff\xd8\xff\xe0", "image"), (b"RIFF0000WAVE", "audio")]
)
def test_what_comes_in_by_a_pipe_is_known_by_its_first_bytes(
    content: bytes, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    main(["analyze", "--json", "-"])
    assert json.loads(capsys.readouterr().out)["kind"] == kind


def test_models_and_health_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert capsys.readouterr().out.startswith("text-minilm")
    assert main(["health"]) == 1
    assert capsys.readouterr().out == "unhealthy\n"


def test_jobs_are_listed_shown_fetched_and_cancelled(
    files: Path, asked: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["analyze", str(files / "rows.csv")])
    main(["analyze", "--detach", str(files / "film.mp4")])
    capsys.readouterr()
    main(["jobs", "list", "--limit", "1"])
    assert capsys.readouterr().out.startswith("job-1  queued")
    assert main(["jobs", "show", "job-0"]) == 0
    assert "done" in capsys.readouterr().out
    main(["jobs", "result", "job-0", "--format", "csv", "--output", str(files / "out.csv")])
    assert (files / "out.csv").read_text().startswith("row,label")
    assert main(["jobs", "cancel", "job-1"]) == 0
    assert asked.jobs["job-1"]["state"] == "cancelled"
    assert main(["jobs", "show", "nothing"]) == 1


def test_the_history_is_listed_exported_and_deleted_only_by_who_is_sure(
    asked: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["analyze", "--store", "--text", "one", "--text", "two"])
    capsys.readouterr()
    main(["history", "list", "--label", "positive"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ID", "kept-1", "kept-0"]
    assert main(["history", "export", str(tmp_path / "all.csv")]) == 0
    assert main(["history", "export", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert main(["history", "delete", "kept-0"]) == 1
    assert len(asked.kept) == 2
    assert main(["history", "delete", "kept-0", "--yes"]) == 0
    assert main(["history", "delete", "--all", "--yes"]) == 0
    assert asked.kept == []


def _heeds_interrupts() -> None:
    """Also where these tests were started by a shell that ignores them in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(*arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        (sys.executable, "-m", "ui.client", *arguments),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        preexec_fn=_heeds_interrupts,  # noqa: PLW1509 (nothing else runs here meanwhile)
    )


def test_an_interrupt_calls_the_job_off(tmp_path: Path, asked: StandIn) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF endless")
    with started("analyze", "--job", str(path)) as program:
        until(lambda: [one for one in asked.seen if "events after" in one])
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
    assert program.returncode == 130
    assert b"the job was cancelled" in said
    assert [job["state"] for job in asked.jobs.values()] == ["cancelled"]


def test_bars_are_drawn_at_a_terminal_and_nowhere_else(files: Path) -> None:
    command = ("analyze", "--job", str(files / "film.mp4"))
    with started(*command) as program:
        assert program.communicate(timeout=60)[1] == b""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with started(*command, stderr=theirs) as program:
        os.close(theirs)
        drawn = drawn_on(mine)
        program.communicate(timeout=60)
    assert "film.mp4" in drawn
    assert "100%" in drawn


def drawn_on(terminal: int) -> str:
    """All that is written to a terminal until nobody has it open; it is closed then."""
    drawn = b""
    with os.fdopen(terminal, "rb", buffering=0) as opened, suppress(OSError):  # so Linux tells that nobody has
        while piece := opened.read(4096):
            drawn += piece
    return drawn.decode()
