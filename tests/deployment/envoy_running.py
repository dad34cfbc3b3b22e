"""Runs the real Envoy with `deployment/envoy/envoy.yaml`, at ports of a test's own."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deployment.certificates import Issuer, certificate
from tests.deployment.nginx_running import wait_until
from tests.serving import CHECKOUT, free_port

FILE = CHECKOUT / "deployment" / "envoy" / "envoy.yaml"
AUDIENCE = "multimodal-sentiment"
ISSUER = "https://issuer.example.org/"
Tree = dict[str, Any]


@dataclass(frozen=True)
class Gateway:
    """An Envoy that answers at `address`; its own pages are at `admin`."""

    address: str
    plain: str
    admin: str
    trust: ssl.SSLContext
    issuer: Issuer
    process: subprocess.Popen[bytes]

    def client(self, **claims: object) -> httpx.Client:
        """A client with a good token, but for these claims."""
        headers = {"Authorization": f"Bearer {self.issuer.token(**claims)}"}  # type: ignore[arg-type]
        return httpx.Client(base_url=self.address, verify=self.trust, timeout=30, headers=headers)

    def anonymous(self) -> httpx.Client:
        """A client without one."""
        return httpx.Client(base_url=self.address, verify=self.trust, timeout=30)

    def count(self, name: str) -> int:
        """A counter or gauge of Envoy's."""
        text = httpx.get(f"{self.admin}/stats", params={"filter": f"^{name}$"}).text
        return int(text.split(":")[1]) if text else 0


def cluster(tree: Tree, name: str) -> Tree:
    """A cluster of the file."""
    return next(one for one in tree["static_resources"]["clusters"] if one["name"] == name)


def manager(tree: Tree, number: int = 1) -> Tree:
    """The HTTP connection manager of a listener: 0 is plain, 1 is secure."""
    return tree["static_resources"]["listeners"][number]["filter_chains"][0]["filters"][0]["typed_config"]


def http_filter(tree: Tree, name: str) -> Tree:
    """A filter of the secure listener."""
    filters = manager(tree)["http_filters"]
    return next(one["typed_config"] for one in filters if one["name"] == f"envoy.filters.http.{name}")


def addressed(tree: Tree, name: str, *ports: int) -> None:
    """Give a cluster these loopback ports."""
    endpoints = cluster(tree, name)["load_assignment"]["endpoints"][0]
    assert len(endpoints["lb_endpoints"]) == len(ports)
    for one, port in zip(endpoints["lb_endpoints"], ports, strict=True):
        one["endpoint"]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}


@contextmanager
def running_envoy(
    program: Path,
    folder: Path,
    services: Sequence[int],
    page: int,
    *,
    limits: int | None = None,
    edit: Callable[[Tree], None] = lambda tree: None,
) -> Iterator[Gateway]:
    """Envoy before these ports of the loopback address; `limits` is the port of the rate limit service."""
    folder.mkdir(exist_ok=True)
    trust, issuer = certificate(folder / "tls"), Issuer(ISSUER, AUDIENCE)
    plain, secure, admin = free_port(), free_port(), free_port()
    with published(issuer, folder / "tls") as keys:
        tree = yaml.safe_load(FILE.read_text().replace("/etc/envoy/tls", str(folder / "tls")))
        addressed(tree, "service", *services)
        # Else Envoy's threads hear up to a second later than its counters who is well.
        cluster(tree, "service")["common_lb_config"] = {"update_merge_window": "0s"}
        addressed(tree, "page", page)
        addressed(tree, "limits", limits or free_port())
        addressed(tree, "issuer", keys)
        checked = cluster(tree, "issuer")["transport_socket"]["typed_config"]
        context = checked["common_tls_context"]["validation_context"]
        context["trusted_ca"]["filename"] = str(folder / "tls" / "tls.crt")
        context["match_typed_subject_alt_names"][0]["matcher"]["exact"] = checked["sni"] = "localhost"
        listeners = tree["static_resources"]["listeners"]
        for listener, port in zip(listeners, (plain, secure), strict=True):
            listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
        tree["admin"]["address"]["socket_address"]["port_value"] = admin
        edit(tree)
        (folder / "envoy.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        command = (program, "-c", folder / "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "warning")
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=subprocess.STDOUT)
        addresses = (f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}", f"http://127.0.0.1:{admin}")
        gateway = Gateway(*addresses, trust, issuer, process)
        try:
            wait_until(lambda: _ready(gateway))
            yield gateway
        finally:
            process.terminate()
            process.wait(20)


def _ready(gateway: Gateway) -> bool:
    assert gateway.process.poll() is None, "it has ended; its folder has `output`"
    try:
        live = httpx.get(f"{gateway.admin}/ready").text.startswith("LIVE")
    except httpx.TransportError:
        return False
    healthy = gateway.count("cluster.service.membership_healthy"), gateway.count("cluster.page.membership_healthy")
    return live and healthy == (3, 1) and gateway.count("http.secure.jwt_authn.jwks_fetch_success") > 0


@contextmanager
def published(issuer: Issuer, tls: Path) -> Iterator[int]:
    """The issuer's keys over TLS, at the port that comes back."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/.well-known/jwks.json" else 404)
            self.end_headers()
            self.wfile.write(issuer.jwks.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Quietly."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
