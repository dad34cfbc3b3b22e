"""Puts what an image is built of into an empty folder: `python -m deployment.images.context service|ui|lambda FOLDER`.

Nothing else reaches the build, so there is nothing to ignore.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from deployment.facts import VERSION

FOLDER = Path(__file__).parent
CHECKOUT = FOLDER.parents[1]
CACHES = shutil.ignore_patterns("__pycache__", "*.pyc", "make.py")
SHARED = ("slim.sh", "root.sh", "bytecode.py")


def service(context: Path) -> None:
    """What `bentoml build` packs. Raises `subprocess.CalledProcessError`."""
    with tempfile.TemporaryDirectory() as home:
        built = subprocess.run(
            (sys.executable, "-m", "bentoml", "build", "--version", VERSION, "--output", "tag"),
            cwd=CHECKOUT,
            env=os.environ | {"BENTOML_HOME": home, "BENTOML_DO_NOT_TRACK": "True", "PATH": _path_with_uv()},
            check=True,
            capture_output=True,
            text=True,
        )
        name, version = re.sub(r"^__tag__:", "", built.stdout.strip().splitlines()[-1]).split(":")
        packed = Path(home) / "bentos" / name / version
        shutil.copytree(packed, context / "bento", ignore=CACHES)
    label = context / "bento" / "bento.yaml"
    label.write_text(re.sub(r"(?m)^creation_time: .*$", f"creation_time: '{_time()}'", label.read_text()))
    shutil.copy(FOLDER / "service" / "healthcheck.py", context)


def ui(context: Path) -> None:
    """The page, and nothing of the service."""
    shutil.copytree(CHECKOUT / "ui", context / "ui", ignore=CACHES)
    shutil.copy(FOLDER / "service" / "healthcheck.py", context)


def function(context: Path) -> None:
    """The service's sources and models, and the handler."""
    service(context)
    shutil.copy(FOLDER.parent / "aws" / "lambda" / "handler.py", context)


MAKERS = {"service": service, "ui": ui, "lambda": function}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployment.images.context")
    parser.add_argument("image", choices=MAKERS)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    MAKERS[given.image](given.folder)
    shutil.copy(FOLDER / "locks" / f"{given.image}.txt", given.folder / "lock.txt")
    for name in SHARED:
        shutil.copy(FOLDER / name, given.folder)


def _path_with_uv() -> str:
    """BentoML installs uv into the environment unless it finds it."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


def _time() -> str:
    """The time that every file of the image has."""
    return datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc).isoformat()


if __name__ == "__main__":
    main()
