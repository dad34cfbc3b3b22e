"""Asks for a text's verdict five times a second, each time over a new connection, until its standard input ends.

python -m tests.deployment.steady ADDRESS   prints `started` after the first answer, at the end how often came what
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections import Counter

import httpx

PAUSE_SECONDS = 0.2


def main(address: str) -> None:
    """Ask until told to stop."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    seen: Counter[str] = Counter()
    while not ended.wait(PAUSE_SECONDS):
        try:
            with httpx.Client(verify=context, timeout=60) as client:
                answer = client.post(f"{address}/v1/text", json={"text": "I love it"})
                seen[str(answer.status_code)] += 1
        except httpx.TransportError as error:
            seen[type(error).__name__] += 1
        if seen.total() == 1:
            print("started", flush=True)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1])
