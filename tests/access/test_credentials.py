from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.credentials import Credential, credential_of
from service.access.refusals import Unauthenticated
from tests.access.scopes import scope_of


def test_nothing_sent_is_nothing():
    assert credential_of(scope_of(accept="*/*")) is None


@pytest.mark.parametrize("header", ["Bearer abc.def", "bearer abc.def", "BEARER   abc.def ", " Bearer abc.def"])
def test_a_bearer_is_read(header):
    assert credential_of(scope_of(authorization=header)) == Credential("abc.def", is_key=False)


def test_a_key_has_a_header_of_its_own():
    assert credential_of(scope_of(x_api_key=" ms_abc_def ")) == Credential("ms_abc_def", is_key=True)


def test_a_browser_s_websocket_sends_it_as_a_subprotocol():
    scope = {**scope_of(kind="websocket"), "subprotocols": ["sentiment", "bearer.ms_abc_def"]}
    assert credential_of(scope) == Credential("ms_abc_def", is_key=False)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer a b", "Bearer a,b", "Bearer é", "abc"]
)
def test_what_is_no_bearer_is_refused(header):
    with pytest.raises(Unauthenticated) as refused:
        credential_of(scope_of(authorization=header))
    assert refused.value.reason == "malformed"


def test_two_credentials_are_refused_rather_than_one_chosen():
    with pytest.raises(Unauthenticated, match="not several"):
        credential_of(scope_of(authorization="Bearer abc", x_api_key="def"))


def test_a_token_beyond_any_measure_is_refused():
    with pytest.raises(Unauthenticated):
        credential_of(scope_of(authorization="Bearer " + "a" * 9000))


@given(st.binary(max_size=100), st.sampled_from([b"authorization", b"x-api-key"]))
def test_any_bytes_are_read_or_refused(value, name):
    scope = {"type": "http", "headers": [(name, value)]}
    try:
        found = credential_of(scope)
    except Unauthenticated as refused:
        assert "Bearer" in refused.headers["WWW-Authenticate"]
        assert "\n" not in refused.headers["WWW-Authenticate"]
    else:
        assert found is not None and found.secret.isascii() and found.secret


def test_a_secret_is_not_in_its_representation():
    assert "abc" not in repr(Credential("abc", is_key=True))
