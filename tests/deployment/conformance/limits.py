"""What must be refused, and how."""

from __future__ import annotations

import http.client
import io
import pickle
import wave
from urllib.parse import urlsplit

import httpx

from tests.deployment.conformance.check import answered, check, must, refused
from tests.deployment.conformance.target import EXAMPLES, PATIENCE_SECONDS, Target

FAR_TOO_MANY_BYTES = 200_000_000


@check("text")
def broken_json_is_a_problem(target: Target) -> None:
    """What is no JSON is said so."""
    response = target.http.post("/v1/text", content=b'{"text": ', headers={"Content-Type": "application/json"})
    problem = refused(response, 400, "malformed_json")
    wanted = {"type", "title", "status", "detail", "instance", "code", "request_id"}
    must(wanted <= set(problem), f"the problem lacks {sorted(wanted - set(problem))}")


@check("text")
def a_wrong_field_is_pointed_at(target: Target) -> None:
    """Each error has its place in what was sent."""
    problem = refused(target.http.post("/v1/text", json={"text": 7}), 422, "invalid_input")
    must(problem.get("errors"), "nothing says where")
    refused(target.http.post("/v1/text", json={"text": "a" * 20_001}), 422, "too_long")


@check()
def what_is_not_there_is_a_problem(target: Target) -> None:
    """Unknown paths and methods hear the same kind of answer as all others."""
    refused(target.http.get("/v1/nothing"), 404, "not_found")
    response = target.http.get("/v1/text")
    refused(response, 405, "method_not_allowed")
    must("POST" in response.headers.get("allow", ""), f"Allow: {response.headers.get('allow')}")


@check("image")
def what_is_no_picture_is_refused(target: Target) -> None:
    """Words, and half a picture."""
    words = target.http.post("/v1/image", files={"file": ("a.jpg", b"these are just words")})
    refused(words, 415, "unsupported_media")
    start = (EXAMPLES / "portrait.jpg").read_bytes()[:200]
    refused(target.http.post("/v1/image", files={"file": ("a.jpg", start)}), 422, "undecodable")


@check("text")
def pickles_are_refused(target: Target) -> None:
    """Python objects are code: whoever takes them is anybody's."""
    content = pickle.dumps({"text": "hello"})
    for path in ("/v1/text", "/v1/image"):
        response = target.http.post(path, content=content, headers={"Content-Type": "application/vnd.bentoml+pickle"})
        refused(response, 415, "unsupported_media")
    for path in ("/predict", "/predict_parcel", "/problems_parcel") if "alone" in target.abilities else ():
        response = target.http.post(path, content=content, headers={"Content-Type": "application/vnd.bentoml+pickle"})
        refused(response, 404, "not_found")


@check("image", "sockets")
def a_body_that_is_too_large_is_refused_before_it_is_sent(target: Target) -> None:
    """Its length is enough to know."""
    parts = urlsplit(target.address)
    host, port = str(parts.hostname), parts.port
    if target.secure:
        line = http.client.HTTPSConnection(host, port, timeout=PATIENCE_SECONDS, context=target.tls)
    else:
        line = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    line.putrequest("POST", "/v1/image")
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(FAR_TOO_MANY_BYTES)}
    for name, value in {**headers, **target.headers}.items():
        line.putheader(name, value)
    line.endheaders()
    answer = line.getresponse()
    content = answer.read()
    line.close()
    request = httpx.Request("POST", f"{target.address}/v1/image")
    refused(
        httpx.Response(answer.status, headers=answer.getheaders(), content=content, request=request), 413, "too_large"
    )


@check("audio")
def a_large_recording_passes_whatever_is_on_the_way(target: Target) -> None:
    """A minute of silence, eleven megabytes; what is silent is not judged."""
    content = io.BytesIO()
    with wave.open(content, "wb") as recording:
        recording.setnchannels(2)
        recording.setsampwidth(2)
        recording.setframerate(48_000)
        recording.writeframes(bytes(4 * 48_000 * 60))
    analysis = answered(target.http.post("/v1/audio", files={"file": ("silence.wav", content.getvalue())}))
    must(analysis["sentiment"]["abstained"], "silence was judged")
    must(analysis["sentiment"]["reason"] == "no_evidence", f"reason {analysis['sentiment']['reason']}")
