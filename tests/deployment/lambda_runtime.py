"""AWS Lambda's Runtime API as a function sees it, and requests as API Gateway hands them over."""

from __future__ import annotations

import base64
import json
import queue
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

PREFIX = "/2018-06-01/runtime"
PATIENCE_SECONDS = 180.0


class FunctionFailed(RuntimeError):
    """The function raised, or could not be started."""


@dataclass
class RuntimeApi:
    """Where a function asks for its next event; `address` is what AWS_LAMBDA_RUNTIME_API says."""

    address: str
    events: queue.Queue[tuple[str, dict[str, Any]]] = field(default_factory=queue.Queue)
    answers: dict[str, queue.Queue[tuple[str, Any]]] = field(default_factory=dict)
    failure: str = ""

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """What the function answers to an event. Raises `FunctionFailed`."""
        if self.failure:
            raise FunctionFailed(self.failure)
        identifier = str(uuid.uuid4())
        self.answers[identifier] = queue.Queue()
        self.events.put((identifier, event))
        kind, answer = self.answers[identifier].get(timeout=PATIENCE_SECONDS)
        if kind != "response":
            raise FunctionFailed(json.dumps(answer))
        return answer

    def fail(self, problem: str) -> None:
        """The function cannot be started: whoever waits hears it."""
        self.failure = problem
        for waiting in self.answers.values():
            waiting.put(("error", problem))


@contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    """A Runtime API on the loopback address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            identifier, event = api.events.get()
            body = json.dumps(event).encode()
            self.send_response(200)
            headers = {
                "Lambda-Runtime-Aws-Request-Id": identifier,
                "Lambda-Runtime-Deadline-Ms": "9999999999999",
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:000000000000:function:sentiment",
                "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",  # without it: a crash
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
            parts = self.path.removeprefix(PREFIX).strip("/").split("/")
            if parts == ["init", "error"]:
                api.fail(json.dumps(answer))
            else:
                _, identifier, kind = parts
                api.answers[identifier].put((kind, answer))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api = RuntimeApi(f"127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


class GatewayTransport(httpx.BaseTransport):
    """Sends requests as API Gateway's HTTP API does: as events, version 2.0."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._one = threading.Lock()  # an instance of a function has one event at a time

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The function's answer."""
        with self._one:
            answer = self._api.invoke(event_of(request))
        body = answer.get("body", "")
        content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
        return httpx.Response(answer["statusCode"], headers=answer.get("headers", {}), content=content)


def event_of(request: httpx.Request) -> dict[str, Any]:
    """A request as an event."""
    path, query = request.url.path, request.url.query.decode()
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "conformance",
            },
            "stage": "$default",
        },
        "body": base64.b64encode(request.read()).decode(),
        "isBase64Encoded": True,
    }
