"""The function of AWS Lambda: started by AWS's own runtime client, asked by events, and described without mistakes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from deployment.facts import facts
from tests.deployment.conformance import CHECKS, Check, Target
from tests.deployment.conftest import Program, run
from tests.deployment.environments import unequal
from tests.deployment.lambda_runtime import FunctionFailed, GatewayTransport, RuntimeApi, event_of, runtime_api
from tests.deployment.manifests import Change, copy_with
from tests.serving import CHECKOUT

FOLDER = CHECKOUT / "deployment" / "aws" / "lambda"
ABILITIES = frozenset({"text", "image", "pages"})

NO_BENTOML = """
import sys
sys.modules["bentoml"] = sys.modules["_bentoml_sdk"] = sys.modules["_bentoml_impl"] = None
from awslambdaric.__main__ import main
main(["awslambdaric", "handler.handler"])
"""
"""The image has no BentoML, so here it must not be needed either."""


@pytest.fixture(scope="module")
def api(tmp_path_factory) -> Iterator[RuntimeApi]:
    pytest.importorskip("awslambdaric", reason="the extra [test] has it")
    folder = tmp_path_factory.mktemp("function")
    with runtime_api() as api, function(api, folder, FOLDER):
        yield api


@contextmanager
def function(api: RuntimeApi, folder: Path, source: Path) -> Iterator[None]:
    """The handler in `source`, run by AWS's runtime client; what it writes is in `folder`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SENTIMENT_")}
    environment = image_environment() | {
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "SENTIMENT_TEMP_FOLDER": str(folder / "uploads"),
        "SENTIMENT_STATE_FOLDER": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join((str(source), str(CHECKOUT))),
    }
    with (folder / "log").open("w") as log:
        command = (sys.executable, "-c", NO_BENTOML)
        process = subprocess.Popen(command, env=plain | environment, stdout=log, stderr=subprocess.STDOUT, cwd=CHECKOUT)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def image_environment() -> dict[str, str]:
    """What the image sets for the handler."""
    text = (FOLDER / "Containerfile").read_text()
    block = text.split("\nENV ", maxsplit=1)[1].split("\nARG ", maxsplit=1)[0].replace("\\\n", " ")
    words = dict(word.split("=", maxsplit=1) for word in block.split())
    return {name: value for name, value in words.items() if name.startswith(("SENTIMENT_", "HOST"))}


@pytest.mark.parametrize("check", [check for check in CHECKS if check.needs <= ABILITIES], ids=str)
def test_the_function_conforms(check: Check, api: RuntimeApi):
    check(Target("https://function.example", ABILITIES, transport=GatewayTransport(api)))


def test_a_handler_that_does_not_start_is_heard_of(tmp_path):
    pytest.importorskip("awslambdaric", reason="the extra [test] has it")
    source = (FOLDER / "handler.py").read_text()
    (tmp_path / "handler.py").write_text(source.replace("Mangum(edge", "Mangum(egde"))
    with runtime_api() as api, function(api, tmp_path, tmp_path):
        http = httpx.Client(base_url="https://function.example", transport=GatewayTransport(api))
        with pytest.raises(FunctionFailed, match="egde"):
            http.get("/livez")


def test_an_event_that_is_no_request_is_an_error(api: RuntimeApi):
    with pytest.raises(FunctionFailed, match="unable to infer a handler"):
        api.invoke({"records": []})
    assert api.invoke(_get("/livez"))["statusCode"] == 200


@pytest.mark.long
def test_sam_finds_no_mistake(program: Program, tmp_path):
    assert sam(program, FOLDER / "template.yaml").returncode == 0
    broken = tmp_path / "template.yaml"
    broken.write_text((FOLDER / "template.yaml").read_text().replace("MemorySize: 2048", "MemorySize: much"))
    assert sam(program, broken).returncode != 0


@pytest.mark.long
def test_serverless_packs_it(program: Program, tmp_path):
    osls = program("osls")
    shutil.copy(FOLDER / "serverless.yml", tmp_path)
    assert packed(osls, tmp_path).returncode == 0
    template = tmp_path / ".serverless" / "cloudformation-template-update-stack.json"
    functions = [
        one["Properties"]
        for one in yaml.safe_load(template.read_text())["Resources"].values()
        if one["Type"] == "AWS::Lambda::Function"
    ]
    assert [one["PackageType"] for one in functions] == ["Image"]
    file = tmp_path / "serverless.yml"
    file.write_text(file.read_text().replace("memorySize: 2048", "memorySize: much"))
    assert packed(osls, tmp_path).returncode != 0


def unlike(folder: Path) -> list[str]:
    """What SAM and Serverless are told differently."""
    sam_function = cloudformation(folder / "template.yaml")["Resources"]["Function"]["Properties"]
    serverless = yaml.safe_load((folder / "serverless.yml").read_text())
    (one,) = serverless["functions"].values()
    return unequal(
        {
            "memory": (sam_function["MemorySize"], one["memorySize"]),
            "seconds": (sam_function["Timeout"], one["timeout"]),
            "processor": (sam_function["Architectures"], [serverless["provider"]["architecture"]]),
        }
    )


def test_both_files_describe_the_same_function(tmp_path: Path):
    assert unlike(FOLDER) == []
    assert facts()["image"]["registry"] not in (FOLDER / "serverless.yml").read_text()  # Lambda pulls from ECR alone
    change = Change("serverless.yml", "memorySize: 2048", "memorySize: 1024")
    assert unlike(copy_with(FOLDER, tmp_path / "lambda", change)) == ["memory: 2048, not 1024"]


def sam(program: Program, template: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1"}
    return run(program("sam"), "validate", "--lint", "-t", template, env=environment)


def packed(osls: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": "eu-west-1"}
    return run(osls, "package", cwd=folder, env={**os.environ, **keys, "SLS_TELEMETRY_DISABLED": "1"})


def cloudformation(file: Path) -> dict:
    """A template, whose `!Ref` and the like stay words."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix}")
    return yaml.load(file.read_text(), Loader)


def _get(path: str) -> dict:
    return event_of(httpx.Request("GET", f"https://function.example{path}"))
