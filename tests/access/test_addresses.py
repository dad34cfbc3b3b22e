from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.addresses import believe_proxies, bucket, client_behind, is_loopback, networks, parse
from tests.access.scopes import scope_of

PROXIES = networks("10.0.0.0/8, ::1")
ADDRESSES = st.ip_addresses().map(str)
OUTSIDE = st.ip_addresses(v=4).filter(lambda address: address not in PROXIES[0]).map(str)


def test_without_trusted_proxies_nobody_is_believed():
    scope = scope_of("198.51.100.7", x_forwarded_for="1.2.3.4", x_forwarded_proto="https")
    believe_proxies(scope, ())
    assert (scope["client"][0], scope["scheme"]) == ("198.51.100.7", "http")


def test_a_peer_that_is_no_proxy_is_not_believed():
    scope = scope_of("198.51.100.7", x_forwarded_for="1.2.3.4", x_forwarded_proto="https")
    believe_proxies(scope, PROXIES)
    assert (scope["client"][0], scope["scheme"]) == ("198.51.100.7", "http")


def test_a_trusted_proxy_names_client_and_scheme():
    scope = scope_of("10.1.2.3", x_forwarded_for="203.0.113.9", x_forwarded_proto="https")
    believe_proxies(scope, PROXIES)
    assert (scope["client"], scope["scheme"]) == (("203.0.113.9", 0), "https")


def test_a_websocket_behind_https_is_wss():
    scope = scope_of("10.1.2.3", kind="websocket", x_forwarded_proto="https")
    believe_proxies(scope, PROXIES)
    assert scope["scheme"] == "wss"


def test_an_odd_scheme_changes_nothing():
    scope = scope_of("10.1.2.3", x_forwarded_proto="javascript")
    believe_proxies(scope, PROXIES)
    assert scope["scheme"] == "http"


def test_a_peer_without_an_address_is_not_believed():
    scope = scope_of(None, x_forwarded_for="203.0.113.9")
    believe_proxies(scope, PROXIES)
    assert bucket(scope) == "unknown"


@given(st.text(max_size=40), OUTSIDE, st.lists(st.ip_addresses(network="10.0.0.0/8").map(str), max_size=3))
def test_what_a_client_writes_itself_never_counts(made_up, client, proxies):
    forwarded = ",".join([made_up.replace("\n", " "), client, *proxies])
    assert client_behind("10.0.0.1", forwarded, PROXIES) == client


@given(st.text(max_size=200))
def test_any_header_gives_the_peer_or_an_address(header):
    found = client_behind("10.0.0.1", header, PROXIES)
    assert ip_address(found)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1:8080 ", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_addresses_are_read_as_proxies_write_them(text, address):
    assert str(parse(text)) == address


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "192.0.2", "192.0.2.1.5", "192.0.2.1, 192.0.2.2", "[", ":"])
def test_what_is_no_address_is_none(text):
    assert parse(text) is None


@given(ADDRESSES)
def test_every_address_is_read_back(text):
    assert parse(text) in (ip_address(text), getattr(ip_address(text), "ipv4_mapped", None))


def test_a_customer_s_ipv6_addresses_share_a_bucket():
    assert bucket(scope_of("2001:db8:1:2::1")) == bucket(scope_of("2001:db8:1:2:ffff::9")) == "2001:db8:1:2::/64"
    assert bucket(scope_of("2001:db8:1:3::1")) != bucket(scope_of("2001:db8:1:2::1"))
    assert bucket(scope_of("192.0.2.1")) != bucket(scope_of("192.0.2.2"))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_loopback_is_what_only_this_machine_reaches(host, loopback):
    assert is_loopback(host) is loopback


def test_a_network_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/40"):
        networks("10.0.0.0/40")
