"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from threading import Event


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Return when the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        Event().wait(0.01)
