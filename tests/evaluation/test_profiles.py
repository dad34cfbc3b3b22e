"""Recalibration profiles as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.evaluation.profiles import next_version, write_profile
from service.runners.profile import WrongProfile, load_profile
from tests.profiles_made import PROFILE, made


def test_a_profile_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    profile = made(
        data='naïve "chats" 😀.csv', judged={**PROFILE.judged, "text+face": PROFILE.judged["text"]}, version=12
    )
    write_profile(tmp_path / "profile.toml", profile)
    assert load_profile(tmp_path / "profile.toml") == profile
    assert [file.name for file in tmp_path.iterdir()] == ["profile.toml"]


def test_a_profile_that_is_made_again_gets_the_next_version(tmp_path: Path) -> None:
    path = tmp_path / "chats.toml"
    assert next_version(path, "support-chats") == 1
    write_profile(path, PROFILE)
    assert next_version(path, "support-chats") == PROFILE.version + 1
    assert next_version(path, "reviews") == 1


def test_nothing_but_a_profile_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nname = "somebody"\n')
    with pytest.raises(WrongProfile, match=r"pyproject\.toml is no calibration profile: format: Field required\."):
        next_version(path, "pyproject")


def test_a_name_is_one_that_answers_can_carry(tmp_path: Path) -> None:
    with pytest.raises(WrongProfile, match="'support chats' is no name"):
        next_version(tmp_path / "support chats.toml", "support chats")


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("temperature = 1.6", "temperature = 0", r"heads\.text\.temperature: Input should be greater than 0"),
        ("format = 1", "format = 2", r"format: Input should be 1"),
        ("rows = 400", "row = 400", r"is no calibration profile: .*(rows|row)"),
        ('"0.85" = ', '"0.855" = ', r"judged\.text lacks coverages"),
        ("[heads.text]", "[heads.text", "it is not TOML"),
        ("[heads.text]", "[heads.smell]", r"heads\.smell"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said_in_one_sentence(
    tmp_path: Path, before: str, after: str, fault: str
) -> None:
    path = tmp_path / "profile.toml"
    write_profile(path, PROFILE)
    written = path.read_text()
    assert before in written
    path.write_text(written.replace(before, after, 1))
    with pytest.raises(WrongProfile, match=fault) as raised:
        load_profile(path)
    assert "\n" not in str(raised.value)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongProfile, match=r"absent\.toml can't be read: No such file"):
        load_profile(tmp_path / "absent.toml")
