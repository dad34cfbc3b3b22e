"""Reading what people send: bytes that cannot be trusted become pixels and samples, in processes that may die."""

from __future__ import annotations


class MediaError(Exception):
    """The root of what can be wrong with a file; the message is one sentence that says what to do."""


class Unsupported(MediaError):
    """The bytes are not of a kind that this route takes."""


class Undecodable(MediaError):
    """Empty, truncated, hostile, or it crashed or hung the decoder."""


class TooLarge(MediaError):
    """More pixels, seconds or bytes than the limit, which the message names."""


class DecodersBusy(MediaError):
    """Every decoder is taken and too many wait."""
