"""What must not wait, while 5,000 refunds wait for a processor that does not answer.

The product's own processes, and two sandboxes: one answers, the other takes calls and says nothing.
Its account also gets new refunds, which hang in the worker of sends, and is synced.
BENCH_UNKNOWN says how many outcomes are unknown (5,000), BENCH_SECONDS how long it is watched (60).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import django
from rich.console import Console
from rich.table import Table

from .stage import Stage

if TYPE_CHECKING:
    from .storm import Waits

UNKNOWN = int(os.environ.get("BENCH_UNKNOWN", "5000"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "60"))


def main() -> None:
    """Measure in a process of its own, because each has its own database, and print a table."""
    subprocess.run([sys.executable, "-m", "bench.starvation"], check=True)


def measure() -> None:
    """Measure in this process, which knows no settings yet, and print a table."""
    with tempfile.TemporaryDirectory(prefix="refund-desk-bench-") as name:
        stage = Stage(Path(name))
        try:
            stage.open()
            os.environ.update(stage.environment)
            django.setup()
            from django.contrib.auth.models import User

            from access.demo import create_people

            from . import storm

            create_people()
            person = User.objects.get(username="manager")
            waits = storm.measure(stage, person, unknown=UNKNOWN, seconds=SECONDS)
        finally:
            stage.close()
    Console(width=110).print(_table(waits))


def _table(all_waits: list[Waits]) -> Table:
    table = Table(title=f"Beside {UNKNOWN:,} unknown refunds of a processor that does not answer")
    table.add_column("seconds for a")
    for column in ("in peace, median", "in the storm, median", "worst", "of", "target", ""):
        table.add_column(column, justify="right")
    for waits in all_waits:
        table.add_row(
            waits.what,
            f"{median(waits.peace):.2f}",
            f"{median(waits.storm):.2f}",
            f"{max(waits.storm):.2f}",
            str(len(waits.storm)),
            f"{waits.target:g}",
            "ok" if max(waits.storm) <= waits.target else "TARGET MISSED",
        )
    return table


if __name__ == "__main__":
    measure()
