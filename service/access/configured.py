"""Access control as the settings ask for it; what can't be met stops the service before it starts."""

from __future__ import annotations

import logging

from service.access.addresses import is_loopback, networks
from service.access.door import Authentication, Door
from service.access.hosts import Hosts
from service.access.jwks import key_set
from service.access.key_ring import KeyFile, KeyRing, checked_rate, parse_records
from service.access.rates import Rates, redis_windows
from service.access.tokens import KeySource, OneKey, Tokens, public_key_file, secret_key
from service.settings import Settings

DEFAULT_RATE = "100/minute"
DEFAULT_SHARE = 0.5

log = logging.getLogger(__name__)


def build_door(settings: Settings) -> Door:
    """The door that the settings ask for. Raises `ValueError` or `OSError` for settings that can't be met."""
    return Door(
        _authentication(settings),
        _rates(settings),
        networks(settings.trusted_proxies),
        origins(settings),
        protect_metrics=settings.protect_metrics,
        hosts=_hosts(settings),
    )


def origins(settings: Settings) -> tuple[str, ...]:
    """The origins whose pages may ask."""
    return tuple(part.strip() for part in settings.cors_origins.split(",") if part.strip())


def share_of(settings: Settings) -> float:
    """Of the places for what goes on for long, the part that one client may have."""
    if settings.client_share is not None:
        return settings.client_share
    return 1.0 if is_loopback(settings.host) else DEFAULT_SHARE


def warn_if_open(settings: Settings) -> None:
    """One loud line if others than this machine may reach a service that lets in everybody.

    It starts all the same: in a container behind a gateway that checks callers, this is as it should be.
    """
    if settings.auth == "off" and not is_loopback(settings.host):
        log.warning(
            "ACCESS CONTROL IS OFF and the service listens on %s: whoever reaches it may use it."
            " Set SENTIMENT_AUTH, unless a gateway in front checks who asks.",
            settings.host,
        )


def _hosts(settings: Settings) -> Hosts | None:
    """None where any name will do: what callers have to prove is not known to a page, or an operator says so."""
    names = [part.strip() for part in settings.allowed_hosts.split(",") if part.strip()]
    if "*" in names:
        return None
    if names != ["auto"]:
        return Hosts(names)
    public = not is_loopback(settings.host) or settings.trusted_proxies
    return None if public or settings.auth != "off" else Hosts((), strangers_cannot_own=True)


def _rates(settings: Settings) -> Rates | None:
    rate = settings.rate_limit
    if rate == "auto":
        rate = "off" if is_loopback(settings.host) else DEFAULT_RATE
    if rate == "off" and settings.auth == "off":
        return None
    url = settings.limits_url.get_secret_value() if settings.limits_url else None
    return Rates(None if rate == "off" else checked_rate(rate), redis_windows(url) if url else None)


def _authentication(settings: Settings) -> Authentication | None:
    if settings.auth == "off":
        return None
    keys = _key_ring(settings) if settings.auth in ("api_key", "both") else None
    tokens = _tokens(settings) if settings.auth in ("jwt", "both") else None
    return Authentication(keys, tokens)


def _key_ring(settings: Settings) -> KeyRing:
    given = settings.api_keys.get_secret_value() if settings.api_keys else ""
    if not given and settings.api_keys_file is None:
        raise ValueError("SENTIMENT_AUTH wants API keys: set SENTIMENT_API_KEYS_FILE or SENTIMENT_API_KEYS.")
    file = KeyFile(settings.api_keys_file) if settings.api_keys_file else None
    return KeyRing(parse_records(given) if given else (), file)


def _tokens(settings: Settings) -> Tokens:
    return Tokens(_key_source(settings), settings.jwt_issuer, settings.jwt_audience, settings.jwt_leeway_seconds)


def _key_source(settings: Settings) -> KeySource:
    secret, file, jwks = settings.jwt_secret, settings.jwt_public_key, settings.jwt_jwks
    if sum(source is not None for source in (secret, file, jwks)) != 1:
        raise ValueError("Set one of SENTIMENT_JWT_SECRET, SENTIMENT_JWT_PUBLIC_KEY and SENTIMENT_JWT_JWKS.")
    if secret is not None:
        return OneKey(secret_key(secret.get_secret_value()))
    if file is not None:
        return OneKey(public_key_file(file))
    if not (settings.jwt_issuer and settings.jwt_audience):
        raise ValueError("SENTIMENT_JWT_JWKS needs SENTIMENT_JWT_ISSUER and _AUDIENCE: its keys sign for others too.")
    return key_set(str(jwks), settings.jwks_refresh_seconds)
