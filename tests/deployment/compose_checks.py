"""What the Compose and Swarm files have to keep: each check takes the services of a file and gives findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deployment.facts import facts, image
from service.settings import Settings, variable
from tests.deployment.environments import unequal
from ui.settings import Settings as PageSettings

Services = dict[str, dict[str, Any]]
Check = Callable[[Services], list[str]]

ANALYSING = ("service", "worker")


def images_are_those_of_the_facts_and_pinned(services: Services) -> list[str]:
    """Ours can be replaced by a variable; those of others have a tag that does not move."""
    service = f"${{SERVICE_IMAGE:-{image('service')}}}"
    ours = {**dict.fromkeys(ANALYSING, service), "ui": f"${{UI_IMAGE:-{image('ui')}}}"}
    return [
        f"{name}: image {one['image']}"
        for name, one in services.items()
        if (one["image"] != ours[name] if name in ours else one["image"].rpartition(":")[2] in ("", "latest"))
    ]


def nothing_may_write_or_do_more_than_it_must(services: Services) -> list[str]:
    """Read-only, without capabilities, not root, within limits, and somebody looks whether it is well."""
    findings = []
    for name, one in services.items():
        limits = one["deploy"]["resources"]["limits"]
        pairs = {
            "read-only": (one.get("read_only"), True),
            "capabilities dropped": (one.get("cap_drop"), ["ALL"]),
            "capabilities added": (one.get("cap_add"), None),
            "privileged": (one.get("privileged", False), False),
            "root": (one.get("user", "root") in ("root", "0"), False),
            "health check": (bool(one.get("healthcheck", {}).get("test")), True),
            "limits": (limits.keys() >= {"cpus", "memory"}, True),
        }
        findings += [f"{name}: {finding}" for finding in unequal(pairs)]
    return findings


def numbers_are_those_of_the_facts(services: Services) -> list[str]:
    """Limits, ports, users, and how long it may take to end."""
    service, worker, page = services["service"], services["worker"], services["ui"]
    user, fact = facts()["image"]["user"], facts()["service"]
    pairs: dict[str, tuple[Any, Any]] = {
        "service limits": (_limits(service), {"cpus": _cores(fact["cpu_limit"]), "memory": _gigabytes(fact)}),
        "worker limits": (_limits(worker), _limits(service)),
        "ui limits": (_limits(page), {"cpus": _cores(facts()["ui"]["cpu_limit"]), "memory": "512M"}),
        "worker command": (worker["command"], facts()["worker"]["command"]),
        "address of the service": (page["environment"]["SENTIMENT_API_URL"], f"http://service:{fact['port']}"),
        "health of the page": (f":{facts()['ui']['port']}{facts()['ui']['health']}" in _asked(page), True),
        "health of the worker": (f"PORT={facts()['worker']['metrics_port']}" in _asked(worker), True),
    }
    for name in ANALYSING:
        pairs[f"{name} may end"] = (services[name]["stop_grace_period"], f"{fact['stop_seconds']}s")
        pairs[f"{name} user"] = (services[name]["user"], f"{user}:{user}")
    return unequal(pairs)


def variables_are_settings(services: Services) -> list[str]:
    """A misspelt one would be ignored without a word; and what a limited container is told, it is told."""
    wanted = facts()["service"]["limited"]
    known = {variable(name) for name in Settings.model_fields}
    page = {f"UI_{name.upper()}" for name in PageSettings.model_fields}
    findings = [f"ui: {secret} is no setting" for secret in services["ui"]["secrets"] if secret.upper() not in page]
    for name in ANALYSING:
        given: Mapping[str, str] = services[name]["environment"]
        named = {*given, *(secret.upper() for secret in services[name]["secrets"])}
        findings += [f"{name}: {stranger} is no setting" for stranger in named - known]
        findings += [f"{name}: {one}" for one in unequal({key: (given.get(key), wanted[key]) for key in wanted})]
    port = services["worker"]["environment"].get("SENTIMENT_WORKER_METRICS_PORT")
    return findings + unequal({"metrics of the worker": (port, str(facts()["worker"]["metrics_port"]))})


def five_are_replaced_two_by_two(services: Services) -> list[str]:
    """Successor first, ten seconds between, and back if that fails; restarted if they fail."""
    deploy = services["service"]["deploy"]
    update = deploy["update_config"]
    wanted = {"parallelism": 2, "delay": "10s", "order": "start-first", "failure_action": "rollback"}
    pairs: dict[str, tuple[Any, Any]] = {name: (update.get(name), value) for name, value in wanted.items()}
    pairs["replicas"] = (deploy["replicas"], 5)
    pairs["restarted"] = (deploy["restart_policy"]["condition"], "on-failure")
    return unequal(pairs)


def names_stand_for_all_containers(services: Services) -> list[str]:
    """Without virtual addresses; and ports are the node's own, so that clients keep their addresses."""
    published = [port["mode"] for one in services.values() for port in one.get("ports", ())]
    modes = {one["deploy"].get("endpoint_mode") for one in services.values()}
    return unequal({"published": (published, ["host", "host"]), "names": (modes, {"dnsrr"})})


EVERYWHERE: tuple[Check, ...] = (
    images_are_those_of_the_facts_and_pinned,
    nothing_may_write_or_do_more_than_it_must,
    numbers_are_those_of_the_facts,
    variables_are_settings,
)
IN_SWARM: tuple[Check, ...] = (
    five_are_replaced_two_by_two,
    names_stand_for_all_containers,
)


def _limits(service: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in service["deploy"]["resources"]["limits"].items() if key != "pids"}


def _cores(quantity: str) -> str:
    """`1000m` as Compose says it."""
    return f"{int(quantity.removesuffix('m')) / 1000:.1f}"


def _gigabytes(fact: Mapping[str, Any]) -> str:
    """`2Gi` as Compose says it; its G is a Gi."""
    return str(fact["memory_limit"]).removesuffix("i")


def _asked(service: dict[str, Any]) -> str:
    return " ".join(service["healthcheck"]["test"])
