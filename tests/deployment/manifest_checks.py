"""What every rendered Kubernetes object has to keep: each check takes the objects of a target and gives findings.

Numbers and names come from `deployment/facts.toml`, from the settings of service and user interface, and from the
service itself; nothing is written down here a second time.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic_settings import BaseSettings

from deployment.facts import VERSION, facts, image
from deployment.kubernetes.rules import groups
from service.observability import metrics
from service.settings import Settings
from tests.deployment.manifests import COMPONENT, INSTANCE, NAME, Object, Pod, called, of_kind, pods, selects
from ui.settings import Settings as UiSettings

Check = Callable[[list[Object]], list[str]]

ROLES = {"service": "service", "worker": "worker", "ui": "ui", "runner": "runners"}
"""Of a pod, and of its table in the facts."""
PRIVATE_PATHS = ("/livez", "/readyz", "/metrics", "/healthz")
BENTOML_VARIABLES = frozenset({"BENTOML_SERVE_SERVICE_NAME", "BENTOML_SERVE_DEPENDS"})
"""Of `bentoml_cli._internal.start`; what facts.toml sets in the images is known besides."""


def images_are_those_of_the_facts(objects: list[Object]) -> list[str]:
    """Registry, name and version."""
    return [
        f"{pod.called}: image {pod.container['image']}"
        for pod in pods(objects)
        if pod.container["image"] != image("ui" if pod.role == "ui" else "service")
    ]


def ports_are_those_of_the_facts(objects: list[Object]) -> list[str]:
    """Of containers, of Services, and of routes to Services."""
    findings = []
    for pod in pods(objects, *ROLES):
        found = [port["containerPort"] for port in pod.container["ports"]]
        if found != [port_of(pod.role)]:
            findings.append(f"{pod.called}: ports {found}")
    for service in of_kind(objects, "Service"):
        role = "runner" if service["spec"]["selector"][COMPONENT].endswith("-runner") else None
        found = [port["port"] for port in service["spec"]["ports"]]
        if found != [port_of(role or service["spec"]["selector"][COMPONENT])]:
            findings.append(f"{called(service)}: ports {found}")
    services = {service["metadata"]["name"]: service["spec"]["ports"][0] for service in of_kind(objects, "Service")}
    for route, backend, port in _backends(objects):
        if port not in (services[backend]["port"], services[backend]["name"]):
            findings.append(f"{called(route)}: port {port} of {backend}")
    return findings


def port_of(role: str) -> int:
    """What the facts say that a role listens on."""
    return facts()["worker"]["metrics_port"] if role == "worker" else facts()[ROLES[role]]["port"]


def probes_are_those_of_the_facts(objects: list[Object]) -> list[str]:
    """Paths of all three probes, and their ports."""
    service, page = facts()["service"], facts()["ui"]
    expected = {
        "service": (service["live"], service["ready"]),
        "runner": (service["live"], service["ready"]),
        "worker": (service["metrics"], service["metrics"]),
        "ui": (page["health"], page["health"]),
    }
    findings = []
    for pod in pods(objects, *ROLES):
        live, ready = expected[pod.role]
        names = {port["name"] for port in pod.container["ports"]}
        for probe, path in (("startupProbe", live), ("livenessProbe", live), ("readinessProbe", ready)):
            asked = pod.container.get(probe, {}).get("httpGet", {})
            if asked.get("path") != path or asked.get("port") not in names:
                findings.append(f"{pod.called}: {probe} asks {asked}")
    return findings


def resources_are_those_of_the_facts(objects: list[Object]) -> list[str]:
    """Requests and limits."""
    findings = []
    for pod in pods(objects, *ROLES):
        table = facts()[ROLES[pod.role]]
        expected = {
            "requests": {"cpu": table["cpu_request"], "memory": table["memory_request"]},
            "limits": {"cpu": table["cpu_limit"], "memory": table["memory_limit"]},
        }
        if _same_amounts(pod.container["resources"]) != _same_amounts(expected):
            findings.append(f"{pod.called}: resources {pod.container['resources']}")
    return findings


def _same_amounts(resources: Object) -> Object:
    return {kind: {name: cores(value) for name, value in table.items()} for kind, table in resources.items()}


def cores(amount: str) -> float:
    """A quantity of Kubernetes as a number: `500m`, `1Gi`, `"1"`."""
    units = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "": 1}
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(amount)).groups()  # type: ignore[union-attr]
    return float(number) * units[unit]


def environment_is_known(objects: list[Object]) -> list[str]:
    """Every variable is a setting, has a value that the settings take, and the one that the facts give it."""
    findings = []
    for pod in pods(objects):
        names = set(pod.environment(objects)).union(*(files.values() for files in pod.secrets.values()))
        findings += [f"{pod.called}: {name} is no setting" for name in sorted(names - known_variables(pod.role))]
        findings += [f"{pod.called}: {problem}" for problem in _rejected(pod, objects)]
        findings += [f"{pod.called}: {problem}" for problem in _other_than_facts(pod, objects)]
    return findings


def known_variables(role: str) -> frozenset[str]:
    """What a container of this role may find in its environment."""
    if role == "ui":
        return _variables(UiSettings) | set(facts()["ui"]["environment"])
    return _variables(Settings) | set(facts()["service"]["environment"]) | BENTOML_VARIABLES


@cache
def _variables(settings: type[BaseSettings]) -> frozenset[str]:
    prefix = settings.model_config.get("env_prefix", "")
    names: set[str] = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        names |= set(map(str, alias.choices)) if isinstance(alias, AliasChoices) else {f"{prefix}{name.upper()}"}
    return frozenset(names)


def _rejected(pod: Pod, objects: list[Object]) -> Iterator[str]:
    """What the settings have against a container's environment and its files of secrets, or don't read of them."""
    secrets, settings = _secrets(pod, objects), UiSettings if pod.role == "ui" else Settings
    with TemporaryDirectory() as folder, patch.dict(os.environ, pod.environment(objects), clear=True):
        for name, value in secrets.items():
            (Path(folder) / name).write_text(value)
        try:
            taken = settings(_secrets_dir=folder)  # pyright: ignore[reportCallIssue]
        except ValidationError as error:
            yield f"the settings take not {error.errors()[0]['loc']}"
            return
    read = {value.get_secret_value() for value in dict(taken).values() if isinstance(value, SecretStr)}
    yield from (f"{name} is not read" for name, value in secrets.items() if value not in read)


def _secrets(pod: Pod, objects: list[Object]) -> dict[str, str]:
    """The files of secrets that a container finds, by name."""
    held = {secret["metadata"]["name"]: secret["data"] for secret in of_kind(objects, "Secret")}
    return {
        file: base64.b64decode(held[name][key]).decode()
        for name, files in pod.secrets.items()
        for key, file in files.items()
        if key in held.get(name, {})
    }


MAY_DIFFER = frozenset({"LOG_LEVEL", "SENTIMENT_ENVIRONMENT", "WORKERS"})
"""What an overlay sets as it likes."""


def _other_than_facts(pod: Pod, objects: list[Object]) -> Iterator[str]:
    if pod.role == "migrate":
        return
    given = pod.environment(objects)
    expected = dict(facts()["ui" if pod.role == "ui" else "service"]["environment"])
    if pod.role != "ui":
        expected |= facts()["service"]["limited"]
        expected["SENTIMENT_GRACEFUL_SECONDS"] = str(facts()["service"]["graceful_seconds"])
        expected["SENTIMENT_KEEP_ALIVE_SECONDS"] = str(facts()["service"]["keep_alive_seconds"])
    if pod.role == "runner":
        expected |= facts()["runners"]["environment"]
    if pod.role == "worker":
        expected["SENTIMENT_WORKER_METRICS_PORT"] = str(facts()["worker"]["metrics_port"])
    if pod.role == "ui":
        expected["SENTIMENT_API_URL"] = f"http://multimodal-sentiment:{port_of('service')}"
    for name, value in expected.items():
        if given.get(name) != value and name not in MAY_DIFFER:
            yield f"{name} is {given.get(name)!r}, not {value!r}"


def stopping_takes_the_time_of_the_facts(objects: list[Object]) -> list[str]:
    """What is killed no sooner than it may take to end."""
    seconds = facts()["service"]["stop_seconds"]
    return [
        f"{pod.called}: killed after {pod.spec.get('terminationGracePeriodSeconds')} s"
        for pod in pods(objects, "service", "worker", "runner")
        if pod.spec.get("terminationGracePeriodSeconds") != seconds
    ]


def pods_can_do_little(objects: list[Object]) -> list[str]:
    """Not root, nothing written but where it may be, no capabilities, no token of the API server."""
    user = facts()["image"]["user"]
    pod_wide = {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container_wide = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    findings = []
    for pod in pods(objects):
        given = pod.spec.get("securityContext", {})
        findings += [
            f"{pod.called}: {key} {given.get(key)}" for key, value in pod_wide.items() if given.get(key) != value
        ]
        if pod.container.get("securityContext") != container_wide:
            findings.append(f"{pod.called}: securityContext {pod.container.get('securityContext')}")
        for key in ("automountServiceAccountToken", "enableServiceLinks"):
            if pod.spec.get(key) is not False:
                findings.append(f"{pod.called}: {key} {pod.spec.get(key)}")
        if pod.spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}:
            findings.append(f"{pod.called}: uses its host")
    return findings


def pods_write_where_they_may(objects: list[Object]) -> list[str]:
    """A private /tmp of limited size; and /state, which is shared, for service and workers."""
    expected = {"service": {"/tmp", "/state"}, "worker": {"/tmp", "/state"}}
    findings = []
    for pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in pod.container["volumeMounts"]}
        writable = {mount["mountPath"] for mount in pod.container["volumeMounts"] if not mount.get("readOnly")}
        if writable != expected.get(pod.role, {"/tmp"}):
            findings.append(f"{pod.called}: writes to {sorted(writable)}")
        if "sizeLimit" not in mounts.get("/tmp", {}).get("emptyDir", {}):
            findings.append(f"{pod.called}: /tmp has no limit")
        if "/state" in mounts and "persistentVolumeClaim" not in mounts["/state"]:
            findings.append(f"{pod.called}: /state is not shared")
    return findings


def references_lead_somewhere(objects: list[Object]) -> list[str]:
    """To ConfigMaps, Secrets, claims, accounts, Services and Deployments that are there; certificates are yours."""
    there = {called(one) for one in objects}
    there |= {f"{called(one)}/{key}" for one in of_kind(objects, "Secret") for key in one["data"]}
    findings = []
    for one in objects:
        findings += [f"{called(one)}: there is no {name}" for name in _references(one) if name not in there]
    return findings


def _references(one: Object) -> Iterator[str]:
    if one["kind"] in ("Deployment", "Job"):
        pod = Pod(one)
        yield f"ServiceAccount/{pod.spec['serviceAccountName']}"
        for source in pod.container.get("envFrom", []):
            yield f"ConfigMap/{source['configMapRef']['name']}"
        for name, keys in pod.secrets.items():
            yield from (f"Secret/{name}/{key}" for key in keys)
        for volume in pod.spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                yield f"PersistentVolumeClaim/{volume['persistentVolumeClaim']['claimName']}"
    for key in ("scaleTargetRef", "targetRef"):
        if key in one.get("spec", {}):
            yield f"{one['spec'][key]['kind']}/{one['spec'][key]['name']}"
    for _, backend, _ in _backends([one]):
        yield f"Service/{backend}"
    for reference in one.get("spec", {}).get("parentRefs", []):
        yield f"Gateway/{reference['name']}"
    for reference in one.get("spec", {}).get("targetRefs", []):
        yield f"{reference['kind']}/{reference['name']}"


def _backends(objects: list[Object]) -> Iterator[tuple[Object, str, int | str]]:
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield ingress, service["name"], service["port"].get("name") or service["port"].get("number")
    for route in of_kind(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", []):
                yield route, backend["name"], backend["port"]


def selectors_find_their_pods(objects: list[Object]) -> list[str]:
    """Each selects the pods of one component, or for policies some at least; and a Deployment its own."""
    everybody = [pod.labels for pod in pods(objects)]
    services = [one["metadata"]["labels"] for one in of_kind(objects, "Service")]
    findings = []
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            found = [labels for labels in everybody if selects({"matchLabels": spec["selector"]}, labels)]
        elif one["kind"] == "ServiceMonitor":
            found = [labels for labels in services if selects(spec["selector"], labels)]
        elif one["kind"] in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
            found = [labels for labels in everybody if selects(spec["selector"], labels)]
        elif one["kind"] == "NetworkPolicy":
            found = [labels for labels in everybody if selects(spec["podSelector"], labels)]
            if found:
                continue
        else:
            continue
        if [labels[COMPONENT] for labels in found] != [one["metadata"]["labels"].get(COMPONENT)]:
            findings.append(f"{called(one)}: selects {[labels[COMPONENT] for labels in found]}")
    return findings


def pods_are_spread_and_kept(objects: list[Object]) -> list[str]:
    """Over zones and nodes; one disruption at a time where somebody is waiting for an answer; old ones go last."""
    kept = {one["metadata"]["name"] for one in of_kind(objects, "PodDisruptionBudget")}
    findings = []
    for pod in pods(objects, *ROLES):
        terms = {term["topologyKey"]: term for term in pod.spec.get("topologySpreadConstraints", [])}
        if set(terms) != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} or not all(
            selects(term["labelSelector"], pod.labels) for term in terms.values()
        ):
            findings.append(f"{pod.called}: is not spread")
        if pod.role != "worker" and pod.owner["metadata"]["name"] not in kept:
            findings.append(f"{pod.called}: no PodDisruptionBudget")
        if pod.owner["spec"]["strategy"].get("rollingUpdate") != {"maxSurge": 1, "maxUnavailable": 0}:
            findings.append(f"{pod.called}: old pods go before new ones are ready")
    return findings


def scaling_is_that_of_the_facts(objects: list[Object]) -> list[str]:
    """From how many replicas to how many, by what; who is scaled says no number of its own."""
    findings = []
    scalers = {
        one["spec"]["scaleTargetRef"]["name"]: one
        for one in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    }
    for pod in pods(objects, *ROLES):
        table, scaler = facts()[ROLES[pod.role]], scalers.get(pod.owner["metadata"]["name"])
        if scaler is None:
            findings.append(f"{pod.called}: nothing scales it")
            continue
        spec = scaler["spec"]
        bounds = (
            spec.get("minReplicas", spec.get("minReplicaCount")),
            spec.get("maxReplicas", spec.get("maxReplicaCount")),
        )
        if bounds != (table.get("replicas", 1), table["max_replicas"]):
            findings.append(f"{called(scaler)}: {bounds}")
        if "replicas" in pod.owner["spec"]:
            findings.append(f"{pod.called}: applying it again would undo the scaling")
        findings += [f"{called(scaler)}: {what}" for what in _wrong_targets(pod.role, spec)]
    return findings


def _wrong_targets(role: str, spec: Object) -> Iterator[str]:
    service = facts()["service"]
    if role == "worker":
        (trigger,) = spec["triggers"]
        if trigger["metadata"]["threshold"] != str(facts()["worker"]["jobs_each"]):
            yield f"threshold {trigger['metadata']['threshold']}"
        if 'queue="jobs"' not in trigger["metadata"]["query"]:
            yield f"scales by {trigger['metadata']['query']}"
        return
    targets = {_metric_name(one): _metric_target(one) for one in spec["metrics"]}
    percent = facts()["ui"]["target_cpu_percent"] if role == "ui" else service["target_cpu_percent"]
    if targets.get("cpu", {}).get("averageUtilization") != percent:
        yield f"cpu {targets.get('cpu')}"
    if role == "service":
        memory = cores(service["memory_limit"]) * service["target_memory_percent"] / 100
        if abs(cores(targets.get("memory", {}).get("averageValue", "0")) - memory) > 2**20:
            yield f"memory {targets.get('memory')}, not {memory / 2**20:.0f}Mi"
        if "queue_depth" not in targets:
            yield "does not look at its queues"


def _metric_name(metric: Object) -> str:
    return metric["resource"]["name"] if metric["type"] == "Resource" else metric["pods"]["metric"]["name"]


def _metric_target(metric: Object) -> Object:
    return (metric.get("resource") or metric["pods"])["target"]


def metrics_are_exported(objects: list[Object]) -> list[str]:
    """What autoscalers ask for is what the service exports, by that name."""
    asked = []
    for one in of_kind(objects, "HorizontalPodAutoscaler"):
        asked += [(one, _metric_name(metric)) for metric in one["spec"]["metrics"] if metric["type"] == "Pods"]
    for one in of_kind(objects, "ScaledObject"):
        asked += [(one, series(trigger["metadata"]["query"])) for trigger in one["spec"]["triggers"]]
    return [f"{called(one)}: nothing exports {name}" for one, name in asked if name not in exported()]


def series(query: str) -> str:
    """The series that a query is about: the name before the braces."""
    return re.findall(r"([a-z_]+)\{", query)[0]


@cache
def exported() -> frozenset[str]:
    """The names of the service's series."""
    return frozenset(sample.name for family in metrics.REGISTRY.collect() for sample in family.samples) | {
        family.name for family in metrics.REGISTRY.collect()
    }


def recommendations_change_nothing(objects: list[Object]) -> list[str]:
    """A VerticalPodAutoscaler for each Deployment, which only says what it would do."""
    findings = []
    named = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "VerticalPodAutoscaler")}
    for pod in pods(objects, *ROLES):
        spec = named.get(pod.owner["metadata"]["name"])
        if spec is None:
            findings.append(f"{pod.called}: nothing recommends")
        elif spec["updatePolicy"] != {"updateMode": "Off"}:
            findings.append(f"{pod.called}: {spec['updatePolicy']}")
        elif spec["resourcePolicy"]["containerPolicies"][0]["containerName"] != pod.container["name"]:
            findings.append(f"{pod.called}: recommends for another container")
    return findings


def the_world_reaches_what_it_may(objects: list[Object]) -> list[str]:
    """Every route of the service by its host, no probe and no metrics, and the page by its own."""
    paths = list(_public_paths(objects))
    hosts = facts()["hosts"]
    findings = [
        f"{service} is at {host}"
        for host, service, _, _ in paths
        if (host, service) not in {(hosts["service"], "multimodal-sentiment"), (hosts["ui"], "multimodal-sentiment-ui")}
    ]
    for route in routes():
        reached = any(host == hosts["service"] and _covers(kind, path, route) for host, _, kind, path in paths)
        if reached == (route in PRIVATE_PATHS):
            findings.append(f"{route} is {'public' if reached else 'not reached'}")
    if not any(host == hosts["ui"] and path == "/" and "refix" in kind for host, _, kind, path in paths):
        findings.append("the page is not reached")
    return findings


def _public_paths(objects: list[Object]) -> Iterator[tuple[str, str, str, str]]:
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                yield rule["host"], path["backend"]["service"]["name"], path["pathType"], path["path"]
    for route in of_kind(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", []):
                for match in rule["matches"]:
                    (host,) = route["spec"]["hostnames"]
                    yield host, backend["name"], match["path"]["type"], match["path"]["value"]


def _covers(kind: str, path: str, route: str) -> bool:
    return route == path or (kind != "Exact" and route.startswith(path.rstrip("/") + "/"))


@cache
def routes() -> frozenset[str]:
    """The paths of the service."""
    from service.app import api

    return frozenset(path for route in api.routes if (path := getattr(route, "path", None))) | set(PRIVATE_PATHS)


def the_world_speaks_tls_1_3(objects: list[Object]) -> list[str]:
    """Every public host has a certificate, and options that refuse what is older."""
    findings = []
    options = {
        f"{one['metadata']['namespace']}-{one['metadata']['name']}@kubernetescrd": one["spec"].get("minVersion")
        for one in of_kind(objects, "TLSOption")
    }
    for ingress in of_kind(objects, "Ingress"):
        secured = {host for entry in ingress["spec"].get("tls", []) for host in entry["hosts"] if entry["secretName"]}
        if {rule["host"] for rule in ingress["spec"]["rules"]} != secured:
            findings.append(f"{called(ingress)}: not all of its hosts have certificates")
        named = ingress["metadata"].get("annotations", {})
        if options.get(named.get("traefik.ingress.kubernetes.io/router.tls.options")) != "VersionTLS13":
            findings.append(f"{called(ingress)}: TLS before 1.3 is taken")
        if named.get("traefik.ingress.kubernetes.io/router.entrypoints") != "websecure":
            findings.append(f"{called(ingress)}: answers without TLS")
    return findings + [finding for gateway in of_kind(objects, "Gateway") for finding in _gateway_tls(gateway, objects)]


def _gateway_tls(gateway: Object, objects: list[Object]) -> Iterator[str]:
    policies = [
        one["spec"]["tls"].get("minVersion")
        for one in of_kind(objects, "ClientTrafficPolicy")
        if any(target["name"] == gateway["metadata"]["name"] for target in one["spec"]["targetRefs"])
    ]
    if policies != ["1.3"]:
        yield f"{called(gateway)}: TLS before 1.3 is taken"
    secured = {
        listener["name"]: listener for listener in gateway["spec"]["listeners"] if listener["protocol"] == "HTTPS"
    }
    for route in of_kind(objects, "HTTPRoute"):
        answers = any("backendRefs" in rule for rule in route["spec"]["rules"])
        names = {parent["sectionName"] for parent in route["spec"]["parentRefs"]}
        if answers and not names <= set(secured):
            yield f"{called(route)}: answers without TLS"
        hosts = {secured[name]["hostname"] for name in names if name in secured}
        if answers and hosts != set(route["spec"]["hostnames"]):
            yield f"{called(route)}: its listener is for {sorted(hosts)}"


OUTSIDE = {"ingress": "traefik", "gateway": "envoy-gateway-system", "monitoring": "monitoring"}


def pods_reach_whom_they_need(objects: list[Object]) -> list[str]:
    """Nothing by default; then the table of `_needed_ways`, and no way more or less."""
    policies = of_kind(objects, "NetworkPolicy")
    findings = _open_by_default(objects, policies)
    front = OUTSIDE["gateway" if of_kind(objects, "Gateway") else "ingress"]
    runs = {pod.component for pod in pods(objects, "runner")}
    for pod in pods(objects):
        for direction, peers in (("Ingress", "from"), ("Egress", "to")):
            mine = [one for one in policies if selects(one["spec"]["podSelector"], pod.labels)]
            found = {
                way
                for one in mine
                for rule in one["spec"].get(direction.lower(), [])
                for way in _ways(rule, peers, objects)
            }
            needed = _needed_ways(pod.role, direction, front, runs)
            findings += [f"{pod.called}: {direction} {way} is open" for way in sorted(found - needed)]
            findings += [f"{pod.called}: {direction} {way} is shut" for way in sorted(needed - found)]
    return findings


def _open_by_default(objects: list[Object], policies: list[Object]) -> list[str]:
    """Pods that no policy without rules holds, in both directions: whoever adds a component has to open its ways."""
    shut = [
        one["spec"]["podSelector"]
        for one in policies
        if set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"} and not one["spec"].keys() & {"ingress", "egress"}
    ]
    return [
        f"{pod.called}: is open by default"
        for pod in pods(objects)
        if not any(COMPONENT not in one["matchLabels"] and selects(one, pod.labels) for one in shut)
    ]


def _needed_ways(role: str, direction: str, front: str, runs: set[str]) -> set[tuple[str, int]]:
    service, worker, page = (port_of(name) for name in ("service", "worker", "ui"))
    runner = {(name, port_of("runner")) for name in runs}
    dns, sql, redis = ("kube-system", 53), ("data/postgresql", 5432), ("data/redis", 6379)
    traces = ("monitoring/opentelemetry-collector", 4318)
    ways: dict[tuple[str, str], set[tuple[str, int]]] = {
        ("service", "Ingress"): {(front, service), ("monitoring", service), ("ui", service)},
        ("service", "Egress"): {dns, sql, redis, traces, *runner},
        ("worker", "Ingress"): {("monitoring", worker)},
        ("worker", "Egress"): {dns, sql, redis},
        ("ui", "Ingress"): {(front, page)},
        ("ui", "Egress"): {dns, ("service", service)},
        ("runner", "Ingress"): {("service", port_of("runner"))},
        ("runner", "Egress"): {dns},
        ("migrate", "Ingress"): set(),
        ("migrate", "Egress"): {dns, sql},
    }
    return ways[role, direction]


def _ways(rule: Object, peers: str, objects: list[Object]) -> Iterator[tuple[str, int]]:
    """Whom a rule lets in or out by which port; a rule without peers or ports lets everybody, everywhere."""
    for port in rule.get("ports") or [{"port": 0}]:
        for peer in rule.get(peers) or [{}]:
            for name in _peer_names(peer, objects):
                yield name, port["port"]


def _peer_names(peer: Object, objects: list[Object]) -> list[str]:
    if "namespaceSelector" in peer:
        namespace = peer["namespaceSelector"].get("matchLabels", {}).get("kubernetes.io/metadata.name", "any namespace")
        name = peer.get("podSelector", {}).get("matchLabels", {}).get(NAME)
        return [f"{namespace}/{name}" if name else namespace]
    if "podSelector" in peer:
        return [pod.component for pod in pods(objects) if selects(peer["podSelector"], pod.labels)]
    return ["anybody"]


def rules_are_those_of_monitoring(objects: list[Object]) -> list[str]:
    """`python -m deployment.kubernetes.rules` was run after the last change."""
    return [
        f"{called(one)}: run python -m deployment.kubernetes.rules"
        for one in of_kind(objects, "PrometheusRule")
        if one["spec"]["groups"] != groups()
    ]


def scrapes_are_named_as_rules_name_them(objects: list[Object]) -> list[str]:
    """The jobs of Prometheus, and where the metrics are."""
    expected = {"ServiceMonitor": "multimodal-sentiment", "PodMonitor": "multimodal-sentiment-worker"}
    findings = []
    for kind, job in expected.items():
        for one in of_kind(objects, kind):
            (endpoint,) = one["spec"].get("endpoints") or one["spec"]["podMetricsEndpoints"]
            if {"targetLabel": "job", "replacement": job} not in endpoint["relabelings"]:
                findings.append(f"{called(one)}: its job is not {job}")
            if endpoint["path"] != facts()["service"]["metrics"]:
                findings.append(f"{called(one)}: scrapes {endpoint['path']}")
    return findings


def secrets_are_given_to_whom_they_are_for(objects: list[Object]) -> list[str]:
    """As files, and no more than each needs; runners have none."""
    data = {"SENTIMENT_DATABASE_URL", "SENTIMENT_QUEUE_URL"}
    needed = {
        "service": data | {"SENTIMENT_LIMITS_URL", "SENTIMENT_API_KEYS"},
        "worker": data,
        "ui": {"UI_API_KEY", "UI_AUTH"},
        "migrate": {"SENTIMENT_DATABASE_URL"},
        "runner": set(),
    }
    findings = []
    for pod in pods(objects):
        given = set().union(*pod.secrets.values())
        if given != needed[pod.role]:
            findings.append(f"{pod.called}: is given {sorted(given)}")
        if any("valueFrom" in variable for variable in pod.container.get("env", [])):
            findings.append(f"{pod.called}: has secrets in its environment")
    return findings


def tables_are_ready_first(objects: list[Object]) -> list[str]:
    """A Job of this version brings them up to date, and no pod does."""
    findings = [
        f"{pod.called}: SENTIMENT_MIGRATE is {pod.environment(objects).get('SENTIMENT_MIGRATE')}"
        for pod in pods(objects, "service", "worker")
        if pod.environment(objects).get("SENTIMENT_MIGRATE") != "never"
    ]
    jobs = list(pods(objects, "migrate"))
    if [job.container["command"] for job in jobs] != [["python", "-m", "service.database", "upgrade"]]:
        findings.append("no Job migrates")
    name = f"multimodal-sentiment-migrate-{VERSION.replace('.', '-')}"
    return findings + [f"{job.called}: not {name}" for job in jobs if job.owner["metadata"]["name"] != name]


def the_worker_works(objects: list[Object]) -> list[str]:
    """By the command of the facts."""
    return [
        f"{pod.called}: runs {pod.container.get('command')}"
        for pod in pods(objects, "worker")
        if pod.container.get("command") != facts()["worker"]["command"]
    ]


def objects_are_labelled(objects: list[Object]) -> list[str]:
    """With name, instance and version, and in the namespace of the target."""
    expected = {NAME: "multimodal-sentiment", INSTANCE: "multimodal-sentiment", "app.kubernetes.io/version": VERSION}
    namespaces = {one["metadata"].get("namespace") for one in objects if one["kind"] != "Namespace"}
    findings = [] if len(namespaces) == 1 else [f"namespaces {namespaces}"]
    for one in objects:
        labels = one["metadata"].get("labels", {})
        if any(labels.get(key) != value for key, value in expected.items()) and one["kind"] != "Namespace":
            findings.append(f"{called(one)}: labels {labels}")
    return findings


def runners_are_apart(objects: list[Object]) -> list[str]:
    """The gateway depends on each runner at the address of its Service, and starts none beside itself."""
    from service.app import Gateway

    start = ["python", "-m", "bentoml_cli._internal.start", "start-http-server", "service.app:Gateway"]
    names = [f"{name}_runner" for name in facts()["runners"]["names"]]
    depends = {
        f"{name}=http://multimodal-sentiment-{name.replace('_', '-')}:{facts()['runners']['port']}" for name in names
    }
    findings = []
    for pod in pods(objects, "service", "runner"):
        given, expected = pod.environment(objects), Gateway.name
        if given.get("SENTIMENT_MEDIA_RUNNERS") != "process":
            findings.append(f"{pod.called}: holds all models itself")
        if pod.role == "runner":
            expected = pod.component.replace("-", "_")
        elif set(given.get("BENTOML_SERVE_DEPENDS", "").split()) != depends:
            findings.append(f"{pod.called}: depends on {given.get('BENTOML_SERVE_DEPENDS')}")
        if given.get("BENTOML_SERVE_SERVICE_NAME") != expected or pod.container.get("command") != start:
            findings.append(f"{pod.called}: starts {given.get('BENTOML_SERVE_SERVICE_NAME')}")
    there = sorted(pod.component.replace("-", "_") for pod in pods(objects, "runner"))
    if there != sorted(names) or set(names) != set(_runners(Gateway)):
        findings.append(f"the gateway depends on {sorted(_runners(Gateway))}, there are {there}")
    return findings


def _runners(gateway: Any) -> list[str]:
    return [name for name in gateway.all_services() if name != gateway.name]


EVERYWHERE: tuple[Check, ...] = (
    images_are_those_of_the_facts,
    ports_are_those_of_the_facts,
    probes_are_those_of_the_facts,
    resources_are_those_of_the_facts,
    environment_is_known,
    stopping_takes_the_time_of_the_facts,
    pods_can_do_little,
    pods_write_where_they_may,
    references_lead_somewhere,
    selectors_find_their_pods,
    pods_are_spread_and_kept,
    the_worker_works,
    objects_are_labelled,
)
IN_PRODUCTION: tuple[Check, ...] = (
    scaling_is_that_of_the_facts,
    metrics_are_exported,
    recommendations_change_nothing,
    the_world_reaches_what_it_may,
    the_world_speaks_tls_1_3,
    pods_reach_whom_they_need,
    rules_are_those_of_monitoring,
    scrapes_are_named_as_rules_name_them,
    secrets_are_given_to_whom_they_are_for,
    tables_are_ready_first,
)
