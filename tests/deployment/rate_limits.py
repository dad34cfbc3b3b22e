"""A stand-in for envoyproxy/ratelimit, which counts over all Envoys: the real protocol before a dictionary.

Run by the Python of Envoy, which has grpcio: `python rate_limits.py PORT LIMIT DOMAIN KEY`. Messages are read and
written by hand: RateLimitRequest {1: domain, 2: {1: {1: key, 2: value}}}, RateLimitResponse {1: code}, where a code is
1 (OK) or 2 (OVER_LIMIT).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that are bytes; numbers are passed over."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        length, after = varint(message, at)
        if tag & 7 == 2:
            yield tag >> 3, message[after : after + length]
            after += length
        at = after


def varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 128:
            return value, at


def serve(port: int, limit: int, domain: str, key: str) -> None:
    """Answer until killed; a request of another shape than the file's is refused, which Envoy lets through."""
    import grpc

    seen: Counter[bytes] = Counter()

    def should_limit(request: bytes, context: grpc.ServicerContext) -> bytes:
        found = list(fields(request))
        entries = [dict(fields(entry)) for _, one in found[1:] for _, entry in fields(one)]
        if found[0][1].decode() != domain or [entry[1].decode() for entry in entries] != [key]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not {domain}, {key}")
        seen[entries[0][2]] += 1
        return b"\x08\x02" if seen[entries[0][2]] > limit else b"\x08\x01"

    service, method = METHOD[1:].split("/")
    handler = grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(should_limit)})
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
