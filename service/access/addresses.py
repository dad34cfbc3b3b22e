"""Where a request comes from: the peer, or behind trusted proxies the client that they name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

IPV6_PREFIX = 64
"""What one customer gets at least; limits that counted single IPv6 addresses could be walked around."""

UNKNOWN = "unknown"


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a list like `10.0.0.0/8, ::1`. Raises `ValueError`."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    address = parse(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def parse(text: str) -> Address | None:
    """An address as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:443`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_behind(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The client: walking `X-Forwarded-For` from the right, the first hop that is no trusted proxy.

    What stands left of that hop anybody may have written, and what can't be read ends the walk.
    """
    client = peer
    for hop in reversed(forwarded.split(",")):
        address = parse(client)
        if address is None or not is_within(address, trusted):
            break
        named = parse(hop)
        if named is None:
            break
        client = str(named)
    return client


def is_within(address: Address, trusted: Iterable[Network]) -> bool:
    """Whether the address is in one of the networks."""
    return any(address in network for network in trusted)


def believe_proxies(scope: Scope, trusted: Sequence[Network]) -> None:
    """Set `client` and `scheme` of the scope to what a trusted proxy says of them; other peers are not believed."""
    peer, port = scope.get("client") or (UNKNOWN, 0)
    address = parse(peer)
    if address is None or not is_within(address, trusted):
        return
    forwarded = ",".join(_values(scope, b"x-forwarded-for"))
    client = client_behind(peer, forwarded, trusted)
    scope["client"] = (client, port if client == peer else 0)
    schemes = ",".join(_values(scope, b"x-forwarded-proto")).rsplit(",", 1)
    if schemes[-1].strip().lower() in ("http", "https"):
        scheme = schemes[-1].strip().lower()
        scope["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme


def bucket(scope: Scope) -> str:
    """What requests of one client have in common: the address, or the network of an IPv6 address."""
    host = (scope.get("client") or (UNKNOWN, 0))[0]
    address = parse(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return host if address is None else str(address)


def _values(scope: Scope, header: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == header]
