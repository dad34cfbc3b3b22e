"""The client from a shell: `python -m ui.client analyze FILE…`, and what the service keeps.

Ends with 0 when all went well, 1 when something failed (its sentence is on stderr), 2 when it was called wrongly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ui.client.blocking import Client
from ui.client.command.arguments import parser
from ui.problems import ServiceError, UnsafeAddress

FAILED, WRONG, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    given = parser().parse_args(arguments)
    try:
        with Client(given.url, timeout_seconds=given.timeout) as client:
            return given.run(client, given)
    except UnsafeAddress as error:
        return _failed(error, WRONG)
    except (ServiceError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # whoever reads our answer has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return _failed(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def _failed(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)
    return code
