"""A light stand-in of service, worker and page in a container: it answers, says whether it is ready, and drains."""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORTS = (8000, 8001, 7860)
DRAIN_SECONDS = 5
stopping = threading.Event()


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        ready = not (stopping.is_set() and self.path == "/readyz")
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"version": os.environ.get("VERSION", "1"), "path": self.path}).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, format, *args):
        pass


signal.signal(signal.SIGTERM, lambda *_: stopping.set())
for port in PORTS:
    threading.Thread(target=ThreadingHTTPServer(("0.0.0.0", port), Answers).serve_forever, daemon=True).start()
while not stopping.wait(60):
    pass
time.sleep(DRAIN_SECONDS)
