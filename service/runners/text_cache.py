"""What the text model said of recent texts, by a digest of their content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b

from service.domain.sentiment import Prediction
from service.features.text import Asked

Item = str | Asked


class TextCache:
    """At most `entries` predictions, the least recently used forgotten first. No text is kept, only its digest."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._predictions: OrderedDict[bytes, Prediction] = OrderedDict()

    async def through(
        self, texts: Sequence[Item], ask: Callable[[Sequence[Item]], Awaitable[list[Prediction]]]
    ) -> list[Prediction]:
        """One prediction a text, in order; `ask` is asked only for what is not known."""
        if not self._entries:
            return await ask(texts)
        digests = [_digest(text) for text in texts]
        known = {digest: self._predictions[digest] for digest in digests if digest in self._predictions}
        unknown = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
        if unknown:
            known.update(zip(unknown, await ask(list(unknown.values())), strict=True))
        self._keep(known)
        return [known[digest] for digest in digests]

    def _keep(self, predictions: dict[bytes, Prediction]) -> None:
        for digest, prediction in predictions.items():
            self._predictions[digest] = prediction
            self._predictions.move_to_end(digest)
        while len(self._predictions) > self._entries:
            self._predictions.popitem(last=False)


def _digest(item: Item) -> bytes:
    """16 bytes, enough that no two items share them; lone surrogates count as they are."""
    if isinstance(item, str):
        return blake2b(item.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return blake2b(_digest(item.text) + _digest(item.term), digest_size=16, person=b"asked").digest()
