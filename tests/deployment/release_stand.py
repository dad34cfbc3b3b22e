"""A version of the service as far as a release sees it: `python -m tests.deployment.release_stand PORT VERSION`.

`broken` never gets ready, `wrong` reads texts wrongly, `failing` answers every fifth request with a 500.
"""

from __future__ import annotations

import sys
from itertools import count

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

port, version = int(sys.argv[1]), sys.argv[2]
number = count(1)
answered = {"200": 0, "500": 0}


async def readyz(_request: Request) -> Response:
    return Response(status_code=503 if version == "broken" else 200)


async def read(request: Request) -> Response:
    if not (await request.body()).startswith(b'{"'):
        return Response(status_code=400)
    status = 500 if version == "failing" and next(number) % 5 == 0 else 200
    answered[str(status)] += 1
    label = "negative" if version == "wrong" else "positive"
    return JSONResponse({"sentiment": {"label": label}, "version": version}, status)


async def metrics(_request: Request) -> Response:
    lines = (
        f'http_requests_total{{method="POST",endpoint="/v1/text",status="{status}"}} {times}\n'
        for status, times in answered.items()
    )
    return PlainTextResponse("# TYPE http_requests_total counter\n" + "".join(lines))


application = Starlette(
    routes=[
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/v1/text", read, methods=["POST"]),
    ]
)
uvicorn.run(application, host="127.0.0.1", port=port, log_level="error", timeout_keep_alive=65)
