from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from service.access.refusals import Unauthenticated
from service.access.tokens import OneKey, Tokens, public_key, public_key_file, secret_key
from tests.access.issuer import AUDIENCE, ED_KEY, ISSUER, RSA_KEY, SECRET, pem, token

KEYS = {
    "HS256": secret_key(SECRET),
    "RS256": public_key(RSA_KEY.public_key()),
    "EdDSA": public_key(ED_KEY.public_key()),
}


def tokens(algorithm: str = "HS256", issuer: str | None = ISSUER, audience: str | None = AUDIENCE) -> Tokens:
    return Tokens(OneKey(KEYS[algorithm]), issuer, audience, leeway_seconds=5)


async def reason_of(reader: Tokens, text: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await reader.caller(text)
    return refused.value.reason


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_token_says_who_comes_and_what_they_may(algorithm):
    caller = await tokens(algorithm).caller(token(algorithm))
    assert (caller.name, caller.scopes) == ("jwt:alice", {"analyze"})
    assert "alice" not in caller.tag


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "invalid"),
        ({"sub": None}, "invalid"),
        ({"iss": "https://other.example"}, "invalid"),
        ({"iss": None}, "invalid"),
        ({"aud": "other"}, "invalid"),
        ({"aud": None}, "invalid"),
        ({"nbf": 4_000_000_000}, "invalid"),
        ({"sub": "a\nb"}, "invalid"),
        ({"sub": "x" * 129}, "invalid"),
        ({"sub": ""}, "invalid"),
    ],
)
async def test_a_claim_that_is_not_as_it_must_be_is_refused(algorithm, claims, reason):
    assert await reason_of(tokens(algorithm), token(algorithm, **claims)) == reason


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_signature_by_another_key_is_refused(algorithm):
    other = {
        "HS256": "another secret of more than thirty-two bytes",
        "RS256": generate_private_key(65537, 2048),
        "EdDSA": Ed25519PrivateKey.generate(),
    }
    assert await reason_of(tokens(algorithm), token(algorithm, key=other[algorithm])) == "invalid"


async def test_a_token_of_one_algorithm_is_no_token_of_another():
    for wanted in KEYS:
        for sent in KEYS.keys() - {wanted}:
            assert await reason_of(tokens(wanted), token(sent)) == "invalid"


def _forged(header: dict, signature_key: bytes | None) -> str:
    """A token written by hand, since the library refuses to write these."""
    claims = {"sub": "mallory", "exp": int(time.time()) + 600, "iss": ISSUER, "aud": AUDIENCE, "scope": "admin"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    mac = hmac.new(signature_key, signed, hashlib.sha256).digest() if signature_key else b""
    return b".".join([signed, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
async def test_a_public_key_does_not_serve_as_a_shared_secret(algorithm):
    public = pem(RSA_KEY if algorithm == "RS256" else ED_KEY)
    assert await reason_of(tokens(algorithm), _forged({"alg": "HS256", "typ": "JWT"}, public)) == "invalid"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS512"])
@pytest.mark.parametrize("algorithm", KEYS)
async def test_no_token_goes_unsigned(algorithm, name):
    assert await reason_of(tokens(algorithm), _forged({"alg": name}, None)) in ("invalid", "malformed")


async def test_a_key_inside_the_token_is_not_used():
    other = generate_private_key(65537, 2048)
    listed = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key()))
    claims = {"sub": "mallory", "exp": int(time.time()) + 600, "iss": ISSUER, "aud": AUDIENCE}
    carried = jwt.encode(claims, other, "RS256", {"jwk": listed, "jku": "https://mallory.example"})
    assert await reason_of(tokens("RS256"), carried) == "invalid"


async def test_clocks_may_differ_a_little():
    patient = Tokens(OneKey(KEYS["HS256"]), ISSUER, AUDIENCE, leeway_seconds=300)
    assert (await patient.caller(token(exp=int(time.time()) - 30))).name == "jwt:alice"
    assert await reason_of(patient, token(exp=int(time.time()) - 330)) == "expired"


async def test_a_token_for_somebody_else_is_refused_also_where_no_audience_is_set():
    reader = tokens(issuer=None, audience=None)
    assert (await reader.caller(token(iss=None, aud=None))).name == "jwt:alice"
    assert await reason_of(reader, token(aud="other")) == "invalid"


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "analyze history"}, {"analyze", "history"}),
        ({"scope": None, "scopes": ["admin", "analyze"]}, {"admin", "analyze"}),
        ({"scope": "analyze", "scopes": ["history"]}, {"analyze", "history"}),
        ({"scope": "write"}, set()),
        ({"scope": None}, set()),
        ({"scope": ["analyze"]}, set()),
        ({"scope": None, "scopes": "analyze"}, set()),
        ({"scope": None, "scopes": [{"a": 1}, 7, "analyze"]}, {"analyze"}),
    ],
)
async def test_scopes_are_read_from_both_usual_claims(claims, scopes):
    assert (await tokens().caller(token(**claims))).scopes == scopes


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_\-]{0,30}\.[A-Za-z0-9_\-]{0,60}\.[A-Za-z0-9_\-]{0,30}"))
async def test_no_made_up_token_is_good(text):
    assert await reason_of(tokens(), text) in ("malformed", "invalid")


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x5c"]), st.none() | st.text() | st.integers())
)
async def test_no_header_makes_a_token_good(header):
    assert await reason_of(tokens(), _forged(header, None)) in ("malformed", "invalid")


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        secret_key("short")


def test_a_key_file_says_which_algorithm_it_is_for(tmp_path: Path):
    for name, key in (("RS256", RSA_KEY), ("EdDSA", ED_KEY)):
        path = tmp_path / name
        path.write_bytes(pem(key))
        assert public_key_file(path).algorithm == name


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), generate_private_key(65537, 1024)])
def test_a_key_of_another_kind_or_too_short_is_refused(tmp_path: Path, key):
    path = tmp_path / "key.pem"
    path.write_bytes(pem(key))
    with pytest.raises(ValueError, match="Ed25519"):
        public_key_file(path)
