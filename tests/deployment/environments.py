"""What every target has to say of a container: names of settings that exist, and values as the facts have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from deployment.facts import facts
from service.settings import Settings as ServiceSettings
from service.settings import variable
from ui.settings import Settings as UiSettings

FOREIGN = frozenset({"BENTOML_HOME", "BENTOML_DO_NOT_TRACK", "GRADIO_ANALYTICS_ENABLED"})
"""Read by what we stand on."""


def known(program: str) -> frozenset[str]:
    """Environment variables that the `service` or the `ui` reads."""
    if program == "ui":
        aliases = {"SENTIMENT_API_URL"}
        return frozenset({f"UI_{name.upper()}" for name in UiSettings.model_fields} | aliases | FOREIGN)
    return frozenset({variable(name) for name in ServiceSettings.model_fields} | FOREIGN)


def unequal(pairs: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """What is not as it should be: by what it is called, what it is and what it should be."""
    return [f"{name}: {found!r}, not {wanted!r}" for name, (found, wanted) in pairs.items() if found != wanted]


def differences(
    program: str,
    environment: Mapping[str, str],
    also: Collection[str] = (),
    but: Mapping[str, str | None] = MappingProxyType({}),
) -> list[str]:
    """What is wrong with an environment; `also` are names whose values are secrets.

    `but` is what the target has otherwise than the facts, and for a reason; None for what it must not have.
    """
    wanted: dict[str, str | None] = {**facts()[program]["environment"], **but}
    found = [f"{name} is no setting" for name in {*environment, *also} - known(program)]
    return found + [
        f"{name} is {environment.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if environment.get(name) != value
    ]
