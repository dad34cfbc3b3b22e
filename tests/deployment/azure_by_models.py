"""Judges ARM templates by the models of Azure's own SDK; prints what is wrong, a line each.

Run by the Python of the tool `azure-mgmt`, with the files. A model says which keys there are, what each holds, what
must be there and what only Azure may set; the SDK itself passes on anything, so its models are walked here.
"""

from __future__ import annotations

import enum
import json
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from azure.mgmt.appcontainers import _client as apps_client
from azure.mgmt.appcontainers import models as apps
from azure.mgmt.appcontainers._utils.model_base import Model
from azure.mgmt.containerinstance import _configuration as instances_configuration
from azure.mgmt.containerinstance import models as instances

MODELS = {
    "Microsoft.ContainerInstance/containerGroups": instances.ContainerGroup,
    "Microsoft.App/managedEnvironments": apps.ManagedEnvironment,
    "Microsoft.App/managedEnvironments/storages": apps.ManagedEnvironmentStorage,
    "Microsoft.App/containerApps": apps.ContainerApp,
    "Microsoft.App/jobs": apps.Job,
}
OF_ARM = frozenset({"type", "apiVersion", "name", "dependsOn"})
"""Keys of a resource that the template language reads."""
EXPRESSION = re.compile(r"^\[.*\]$")
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def version_of(module: Any) -> str:
    """The version of the API that a package is made for."""
    return re.findall(r'"(20\d\d-\d\d-\d\d)"', Path(module.__file__).read_text())[0]


VERSIONS = {
    "Microsoft.ContainerInstance": version_of(instances_configuration),
    "Microsoft.App": version_of(apps_client),
}


def judge(value: Any, kind: Any, path: str) -> Iterator[str]:
    """What is wrong with a value that should be of a kind: a model, a type of Python's or a name of the older SDK."""
    if isinstance(value, str) and EXPRESSION.match(value):
        return
    if isinstance(kind, str):
        yield from _judge_named(value, kind, path)
    elif isinstance(kind, type) and hasattr(kind, "_attribute_map"):
        yield from _judge_mapped(value, kind, path)
    elif isinstance(kind, type) and issubclass(kind, Model):
        yield from _judge_model(value, kind, path)
    else:
        yield from _judge_hint(value, kind, path)


def _judge_model(value: Any, model: Any, path: str) -> Iterator[str]:
    """By the newer SDK, whose models have type hints."""
    if not isinstance(value, dict):
        yield f"{path} is no object"
        return
    model.__new__(model)  # which is when the SDK gathers the fields of a model
    hints = typing.get_type_hints(model, {**vars(sys.modules[model.__module__]), "_models": apps})
    fields = {field._rest_name: (name, field) for name, field in model._attr_to_rest_field.items()}
    for key, item in value.items():
        if key not in fields:
            yield f"{path}.{key} is not known"
        elif "read" in (fields[key][1]._visibility or ()) and len(fields[key][1]._visibility) == 1:
            yield f"{path}.{key} is for Azure to set"
        else:
            yield from judge(item, hints[fields[key][0]], f"{path}.{key}")
            yield from _judge_bounds(item, fields[key][0], model, f"{path}.{key}")


def _judge_bounds(value: Any, attribute: str, model: Any, path: str) -> Iterator[str]:
    """By what the prose of a model says of the least and most that a number may be."""
    said = re.search(rf":ivar {attribute}:(.*?)(?=:vartype)", model.__doc__ or "", re.DOTALL)
    for word, breaks in (("Minimum", float.__lt__), ("Maximum", float.__gt__)):
        bound = re.search(rf"{word}\s+value\s+is\s+(\d+)", said[1] if said else "")
        if bound and isinstance(value, int) and breaks(float(value), float(bound[1])):
            yield f"{path} is {value}; the {word.lower()} is {bound[1]}"


def _judge_hint(value: Any, hint: Any, path: str) -> Iterator[str]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        choices = [one for one in inner if one is not type(None)]
        enumerations = [one for one in choices if isinstance(one, type) and issubclass(one, enum.Enum)]
        if enumerations:
            known = {member.value for one in enumerations for member in one}
            if value not in known:
                yield f"{path} is {value!r}, none of {sorted(known)}"
            return
        yield from judge(value, choices[0], path)
    elif origin is list:
        yield from _each(value, inner[0], path)
    elif origin is dict:
        for key, item in value.items():
            yield from judge(item, inner[1], f"{path}.{key}")
    elif hint in (str, int, bool, float):
        yield from _judge_named(value, hint.__name__, path)
    else:
        yield f"{path} cannot be judged: {hint}"


def _judge_mapped(value: Any, model: Any, path: str) -> Iterator[str]:
    """By the older SDK, whose models have maps; `properties.osType` is a key inside of another."""
    if not isinstance(value, dict):
        yield f"{path} is no object"
        return
    kinds = {name["key"]: (attribute, name["type"]) for attribute, name in model._attribute_map.items()}
    given = dict(_flat(value, {key.split(".")[0] for key in kinds if "." in key}))
    for key, item in given.items():
        if key not in kinds:
            yield f"{path}.{key} is not known"
        elif model._validation.get(kinds[key][0], {}).get("readonly"):
            yield f"{path}.{key} is for Azure to set"
        else:
            yield from judge(item, kinds[key][1], f"{path}.{key}")
    required = {key for key, (name, _) in kinds.items() if model._validation.get(name, {}).get("required")}
    yield from (f"{path}.{key} is missing" for key in sorted(required - set(given)))


def _flat(value: dict[str, Any], nested: set[str]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if key in nested and isinstance(item, dict):
            yield from ((f"{key}.{inner}", below) for inner, below in item.items())
        else:
            yield key, item


def _judge_named(value: Any, kind: str, path: str) -> Iterator[str]:
    if kind[0] == "[":
        yield from _each(value, kind[1:-1], path)
    elif kind[0] == "{":
        for key, item in value.items():
            yield from judge(item, kind[1:-1], f"{path}.{key}")
    elif kind in PLAIN:
        fits = isinstance(value, PLAIN[kind]) and (kind == "bool") == isinstance(value, bool)
        if not fits:
            yield f"{path} is {value!r}, not of type {kind}"
        elif enumeration := _enumeration(path):
            yield from () if value in enumeration else (f"{path} is {value!r}, none of {sorted(enumeration)}",)
    else:
        yield from judge(value, getattr(instances, kind), path)


def _enumeration(path: str) -> set[str]:
    """Choices that the older SDK names in its prose alone."""
    named = {
        ".properties.osType": instances.OperatingSystemTypes,
        ".properties.restartPolicy": instances.ContainerGroupRestartPolicy,
        ".properties.sku": instances.ContainerGroupSku,
        ".ipAddress.type": instances.ContainerGroupIpAddressType,
    }
    found = [
        one for ending, one in named.items() if path.startswith("Microsoft.ContainerInstance") and path.endswith(ending)
    ]
    return {member.value for member in found[0]} if found else set()


def _each(value: Any, kind: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} is no list"
        return
    for turn, item in enumerate(value):
        yield from judge(item, kind, f"{path}[{turn}]")


def wrong(template: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the resources of a template, and with its references."""
    for resource in template["resources"]:
        kind = resource["type"]
        version = VERSIONS[kind.partition("/")[0]]
        if resource["apiVersion"] != version:
            yield f"{kind} is of {resource['apiVersion']}, the models of {version}"
        if kind not in MODELS:
            yield f"{kind} is not known"
            continue
        yield from judge({key: item for key, item in resource.items() if key not in OF_ARM}, MODELS[kind], kind)
    named, text = set(template["parameters"]), json.dumps({**template, "parameters": {}})
    used = set(re.findall(r"parameters\('(\w+)'\)", text))
    yield from (f"the parameter {name} does not exist" for name in sorted(used - named))
    yield from (f"the parameter {name} is not used" for name in sorted(named - used))


def main() -> None:
    """Judge every file."""
    for file in sys.argv[1:]:
        for what in wrong(json.loads(Path(file).read_text())):
            print(f"{file}: {what}")


if __name__ == "__main__":
    main()
