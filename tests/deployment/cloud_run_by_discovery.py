"""Judges files by Google's own description of Cloud Run; prints what is wrong, a line each.

Run by the Python of the tool `google-discovery`, with the files. The description becomes a strict schema: no key that
it does not name, none that it calls unsupported. It also names the annotations that Cloud Run accepts, and on what.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import googleapiclient
import jsonschema
import yaml

DOCUMENT = Path(str(googleapiclient.__file__)).parent / "discovery_cache" / "documents" / "run.v1.json"
OURS = re.compile(r"^(run\.googleapis\.com|autoscaling\.knative\.dev)/")
NUMBERS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of the description as JSON Schema, which refuses what the description does not name."""
    if "$ref" in schema:
        return {"$ref": f"#/definitions/{schema['$ref']}"}
    kind = schema.get("type")
    if kind == "array":
        return {"type": "array", "items": strict(schema["items"])}
    if kind == "object" and "additionalProperties" in schema:
        return {"type": "object", "additionalProperties": strict(schema["additionalProperties"])}
    if kind == "object":
        named = {key: strict(value) for key, value in schema.get("properties", {}).items() if supported(value)}
        return {"type": "object", "properties": named, "additionalProperties": False}
    if kind == "integer":
        least, most = bounds(schema)
        return {"type": "integer", "minimum": least, "maximum": most}
    found = {"type": kind} if kind in ("string", "boolean", "number") else {}
    return {**found, "enum": schema["enum"]} if "enum" in schema else found


def bounds(schema: dict[str, Any]) -> tuple[int, int]:
    """The least and most that a number may be: of its format, or as the prose says."""
    said, (least, most) = schema.get("description", ""), NUMBERS[schema["format"]]
    lower, upper = (re.search(rf"{word} value is (\d+)", said) for word in ("Minimum", "Maximum"))
    return int(lower[1]) if lower else least, int(upper[1]) if upper else most


def supported(schema: dict[str, Any]) -> bool:
    """Whether Cloud Run reads a field, and a user may set it."""
    return not re.match(r"(Not supported (by|in) Cloud Run|Output only)", schema.get("description", ""))


def annotations_of(document: dict[str, Any]) -> dict[str, frozenset[str]]:
    """The annotations that the description names, each with the kinds of resources that take it."""
    text = document["schemas"]["ObjectMeta"]["properties"]["annotations"]["description"]
    found = re.findall(r"\* `([\w.]+/[\w-]+)`: ([\w, ]+)\.?", text)
    return {name: frozenset(re.findall(r"\w+", kinds)) for name, kinds in found}


def wrong_annotations(service: dict[str, Any], known: dict[str, frozenset[str]]) -> Iterator[str]:
    """Annotations that are not known, or that another kind of resource takes."""
    places = {"Service": service["metadata"], "Revision": service["spec"]["template"].get("metadata", {})}
    for kind, metadata in places.items():
        for name in metadata.get("annotations", {}):
            kinds = known.get(name, frozenset())
            if OURS.match(name) and not kinds & {kind, "All"}:
                yield f"{name} is no annotation of a {kind}"


def main() -> None:
    """Judge every file."""
    document = json.loads(DOCUMENT.read_text())
    schema = {
        "$ref": "#/definitions/Service",
        "definitions": {name: strict(one) for name, one in document["schemas"].items()},
    }
    judge, known = jsonschema.Draft7Validator(schema), annotations_of(document)
    wrong = []
    for file in sys.argv[1:]:
        service = yaml.safe_load(Path(file).read_text())
        wrong += [f"{file}: {error.json_path}: {error.message}" for error in judge.iter_errors(service)]
        wrong += [f"{file}: {what}" for what in wrong_annotations(service, known)]
    print("\n".join(wrong), end="")


if __name__ == "__main__":
    main()
