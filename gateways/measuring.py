"""Measuring never changes what is measured."""

from __future__ import annotations

from prometheus_client import Histogram


def observe(histogram: Histogram, labels: tuple[str, ...], seconds: float) -> None:
    """Add one observation, and lose it where the folder of the measurements is gone or full."""
    try:
        histogram.labels(*labels).observe(seconds)
    except (OSError, ValueError):
        # Not even a line: there would be one for every call, and the answer at hand may be money.
        return
