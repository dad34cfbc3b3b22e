"""A job worker that looks after old results all the time: `python -m tests.faults.hasty_worker`."""

from __future__ import annotations

from service import worker

if __name__ == "__main__":
    worker.SWEEP_EVERY_SECONDS = 0.2
    worker.main()
