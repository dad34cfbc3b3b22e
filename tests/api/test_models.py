from __future__ import annotations

from models.registry import load_registry
from service.api.models import model_views
from service.runners import ModelInfo


def test_every_model_of_the_registry_is_listed_with_its_terms():
    entries = load_registry()
    views = {view.name: view for view in model_views(entries, {})}
    assert set(views) == set(entries)
    assert all(view.licence and view.sha256 and view.commercial_use is not None for view in views.values())


def test_a_model_that_a_setting_brought_in_is_listed_too():
    served = {"text": ModelInfo("hf:somebody/something@main", 0.7)}
    (view,) = (view for view in model_views(load_registry(), served) if view.served)
    assert (view.name, view.version, view.modality, view.sha256) == ("hf:somebody/something", "main", "text", None)


async def test_models_are_not_sent_again_to_who_has_them(client):
    first = await client.get("/v1/models")
    again = await client.get("/v1/models", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again.headers["etag"] == first.headers["etag"]
