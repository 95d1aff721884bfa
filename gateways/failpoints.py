"""Places where a test can kill or stop this very process, to see what survives.

``CRASH_AT`` names one failpoint, at which every process then dies by SIGKILL, or a folder: there a
file named like a failpoint arms it for whoever comes first, who takes the file away and dies, or
sleeps by SIGSTOP if the file holds the word ``stop``. Without ``CRASH_AT`` nothing ever happens;
settings refuse it outside DEBUG.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

FAILPOINTS = (
    "after-claim",
    "after-attempt-commit",
    "before-connect",
    "after-send",
    "after-response",
    "before-result-commit",
    "after-result-commit",
    "in-outbox-drain",
    "in-webhook-store",
    "in-webhook-apply",
    "in-sweep",
    "in-reconcile-page",
)


def reach(name: str) -> None:
    """Say that the process has come to a failpoint; it may not come back."""
    crash_at = os.environ.get("CRASH_AT")
    if not crash_at:
        return
    if crash_at == name:
        os.kill(os.getpid(), signal.SIGKILL)
    elif "/" in crash_at:
        _take(Path(crash_at) / name)


def _take(armed: Path) -> None:
    taken = armed.with_name(f".{armed.name}.{os.getpid()}")
    try:
        armed.rename(taken)  # only one process can
    except FileNotFoundError:
        return
    wish = taken.read_text().strip()
    taken.unlink()
    os.kill(os.getpid(), signal.SIGSTOP if wish == "stop" else signal.SIGKILL)
