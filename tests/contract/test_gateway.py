from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from service.api.edge import Edge
from service.app import Gateway
from service.runners.middlewares import DROPPED, KEPT, UnexpectedBentoML, drop_middlewares


def test_bentoml_wraps_its_application_in_the_middlewares_that_we_know():
    assert isinstance(Gateway.to_asgi(), Edge)


def test_a_bentoml_with_other_middlewares_is_not_served():
    class Surprise:
        pass

    app = Starlette(middleware=[Middleware(Surprise)])
    with pytest.raises(UnexpectedBentoML, match="Surprise"):
        drop_middlewares(app)


def test_only_what_is_named_is_dropped():
    known = [type(name, (), {}) for name in (*DROPPED, *KEPT)]
    app = Starlette(middleware=[Middleware(one) for one in known])
    drop_middlewares(app)
    assert {middleware.cls.__name__ for middleware in app.user_middleware} == KEPT


def test_each_runner_is_a_service_of_its_own():
    assert set(Gateway.all_services()) >= {"multimodal_sentiment", "speech_runner", "face_runner", "transcript_runner"}
