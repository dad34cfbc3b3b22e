"""Writes the task definitions of `template.yaml` as plain JSON, for those who register them without CloudFormation.

    python -m deployment.aws.ecs.task_definitions

Where the template refers to something else of the stack, the JSON has an example to fill in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
TEMPLATE = FOLDER / "template.yaml"
FILES = {
    "ServiceTask": "task-definition.json",
    "WorkerTask": "task-definition.worker.json",
    "MigrateTask": "task-definition.migrate.json",
    "UiTask": "task-definition.ui.json",
}
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:multimodal-sentiment"  # nosec B105
EXAMPLES = {
    "AWS::Region": "eu-west-1",
    "Architecture": "X86_64",
    "VpcRange": "10.0.0.0/16",
    "ServiceLogs": "/multimodal-sentiment/service",
    "WorkerLogs": "/multimodal-sentiment/worker",
    "UiLogs": "/multimodal-sentiment/ui",
    "ExecutionRole.Arn": "arn:aws:iam::123456789012:role/multimodal-sentiment-start",
    "TaskRole.Arn": "arn:aws:iam::123456789012:role/multimodal-sentiment-task",
    "JobsFiles": "fs-0123456789abcdef0",
    "JobsAccess": "fsap-0123456789abcdef0",
    "DatabaseUrlSecret": f"{SECRET}/database-url",
    "RedisUrlSecret": f"{SECRET}/redis-url",
    "ApiKeysSecret": f"{SECRET}/api-keys",
    "UiKeySecret": f"{SECRET}/ui-key",
    "UiLoginSecret": f"{SECRET}/ui-login",
}
"""What stands for a reference; images have their defaults."""


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, each as a mapping of its name to its argument."""


def _function(loader: Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {name: loader.construct_sequence(node, deep=True)}


Loader.add_multi_constructor("!", _function)


def template(file: Path = TEMPLATE) -> dict[str, Any]:
    """The template, as tables."""
    return yaml.load(file.read_text(), Loader)  # nosec B506


def definition(stack: dict[str, Any], name: str) -> dict[str, Any]:
    """A task definition as the API of ECS wants it. Raises `KeyError` for a reference without an example."""
    examples = {
        **EXAMPLES,
        **{key: value["Default"] for key, value in stack["Parameters"].items() if "Default" in value},
    }
    return _as_api(stack["Resources"][name]["Properties"], examples)


def _as_api(value: Any, examples: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_as_api(item, examples) for item in value]
    if not isinstance(value, dict):
        return value
    for function in ("Ref", "GetAtt"):
        if set(value) == {function}:
            return examples[value[function]]
    return {_key(key): _as_api(item, examples) for key, item in value.items()}


def _key(key: str) -> str:
    special = {"EFSVolumeConfiguration": "efsVolumeConfiguration", "FilesystemId": "fileSystemId", "IAM": "iam"}
    return special.get(key) or (key if key.startswith("awslogs") else key[0].lower() + key[1:])


def main() -> None:
    """Write every definition."""
    stack = template()
    for name, file in FILES.items():
        (FOLDER / file).write_text(json.dumps(definition(stack, name), indent=2) + "\n")


if __name__ == "__main__":
    main()
