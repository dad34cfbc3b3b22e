"""A model that is loaded as soon as it can be: a file that is damaged today may be mended tomorrow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from service.runners import ModelUnavailable, TranscriptUnavailable

log = logging.getLogger(__name__)


class Loading:
    """Loads a model, and if it cannot, tries again every `retry_seconds` on a thread until it can."""

    def __init__(self, name: str, load: Callable[[], Any], retry_seconds: float) -> None:
        self.name = name
        self._load = load
        self._retry_seconds = retry_seconds
        self._stopped = threading.Event()
        self._model: Any = None
        self.problem: str | None = None
        """Why there is no model, in one sentence; None before the first try and once it is there."""

    @property
    def loaded(self) -> bool:
        """Whether the model is there, and has inferred once."""
        return self._model is not None

    def begin(self) -> None:
        """Load now; if that fails, go on trying. Raises `TranscriptUnavailable`, for which nothing is to be mended."""
        if not self._try():
            threading.Thread(target=self._keep_trying, name=f"loading {self.name}", daemon=True).start()

    def require(self) -> Any:
        """The model. Raises `ModelUnavailable` while there is none."""
        if self._model is None:
            detail = self.problem or f"The {self.name} model is being loaded."
            raise ModelUnavailable(self.name, detail, retry_after=self._retry_seconds)
        return self._model

    def stop(self) -> None:
        """Try no more."""
        self._stopped.set()

    def _keep_trying(self) -> None:
        while not self._stopped.wait(self._retry_seconds) and not self._try():
            continue

    def _try(self) -> bool:
        try:
            model = self._load()
            model.warm()
        except TranscriptUnavailable:
            raise
        except Exception as error:  # whatever loading throws: others must go on, and people must hear of it
            self.problem = f"The {self.name} model cannot be loaded: {error}"
            log.error("%s", self.problem)
            return False
        self._model, self.problem = model, None
        return True
