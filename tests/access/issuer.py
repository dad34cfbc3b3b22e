"""An issuer of tokens: keys of each kind, and its JWKS over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER, AUDIENCE = "https://issuer.example", "sentiment"
SECRET = "a secret of more than thirty-two bytes"

RSA_KEY = generate_private_key(65537, 2048)
ED_KEY = Ed25519PrivateKey.generate()
SIGNING: dict[str, Any] = {"HS256": SECRET, "RS256": RSA_KEY, "EdDSA": ED_KEY}


def token(algorithm: str = "HS256", key: Any = None, key_id: str | None = None, **claims: Any) -> str:
    """A good token, but for the claims that are given; None leaves one out."""
    now = int(time.time())
    usual = {"sub": "alice", "exp": now + 600, "iss": ISSUER, "aud": AUDIENCE, "scope": "analyze other"}
    chosen = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    headers = {"kid": key_id} if key_id else None
    return jwt.encode(chosen, key or SIGNING[algorithm], algorithm, headers)


def pem(key: Any) -> bytes:
    """The public half, as a file holds it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Any, key_id: str | None = None, **members: str) -> dict[str, Any]:
    """The public half, as a JWKS lists it."""
    algorithm = jwt.algorithms.OKPAlgorithm if isinstance(key, Ed25519PrivateKey) else jwt.algorithms.RSAAlgorithm
    found = json.loads(algorithm.to_jwk(key.public_key()))
    found.pop("key_ops", None)
    return {**found, **({"kid": key_id} if key_id else {}), **members}


class Issuer:
    """Publishes `keys`; `asked` counts how often, and `status` is how it answers."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.keys: list[dict[str, Any]] = []
        self.status = 200
        self.asked = 0

    def body(self) -> bytes:
        """What it answers now."""
        self.asked += 1
        return json.dumps({"keys": self.keys}).encode()


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """An issuer on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = issuer.body()
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}/jwks.json")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
