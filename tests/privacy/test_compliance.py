"""What the page of law and standards names is there."""

from __future__ import annotations

import re

import pytest

from service.settings import Settings, variable
from tests.serving import CHECKOUT

PAGE = (CHECKOUT / "deployment" / "COMPLIANCE.md").read_text()
NAMED = sorted(set(re.findall(r"`([^`]+)`", PAGE)))
FOLDERS = ("service/", "tests/", "ui/", "models/", "docs/", "deployment/", ".ci/")
FILES = [name for name in NAMED if name.startswith(FOLDERS)]
SETTINGS = [name for name in NAMED if name.startswith("SENTIMENT_")]


@pytest.mark.parametrize("name", FILES)
def test_every_file_and_test_is_there(name):
    path, _, test = name.partition("::")
    assert (CHECKOUT / path).exists()
    if test:
        assert re.search(rf"^(async )?def {re.escape(test)}\(", (CHECKOUT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_one(name):
    assert name in {variable(field) for field in Settings.model_fields} | {"SENTIMENT_HOST"}


def test_every_framework_has_its_chapter():
    for framework in ("EU AI Act", "GDPR", "ISO/IEC 27001", "SOC 2", "HIPAA"):
        assert re.search(rf"^## .*{re.escape(framework)}", PAGE, re.MULTILINE)
    assert len(FILES) > 30 and len(SETTINGS) > 10


def test_every_row_says_what_is_left_to_the_operator():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| rule |")]
    assert len(rows) > 40
    for row in rows:
        assert len(row.strip("| ").split(" | ")[-1]) >= 4, row


@pytest.mark.parametrize("card", ["face-detector", "face-emotion", "speech-whisper", "text-minilm", "whisper-tiny-en"])
def test_every_model_card_says_what_it_is_for_and_what_not(card):
    text = (CHECKOUT / "models" / "cards" / f"{card}.md").read_text().lower()
    assert re.search(r"## what it is for|## use\b|\bmeant for\b", text)
    assert re.search(r"\bnot for\b|\bmisuse\b|\bmust not be used\b", text)
