#!/usr/bin/env python3
"""Ends with 0 if the program in this container answers: `healthcheck.py [PATH]`, /readyz if none is named."""

import os
import sys
import urllib.request

path = sys.argv[1] if len(sys.argv) > 1 else "/readyz"
port = os.environ.get("PORT") or os.environ.get("UI_PORT", "8000")
address = f"http://127.0.0.1:{port}{path}"
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=4):
        pass
except OSError as error:
    sys.exit(f"{address}: {error}")
