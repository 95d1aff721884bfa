"""How soon all is well again after an outage, and what the passes over the rows cost.

The product's own processes: PostgreSQL, Valkey, sandboxes, the worker of sends, the other worker,
and beat with its real schedule. ``--quick`` takes three minutes instead of twelve.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import django
from rich.console import Console
from rich.table import Table

from .stage import Stage

if TYPE_CHECKING:
    from .lost_queue import MadeGood
    from .outages import Recovery
    from .passes import Pass

RECOVERED = 30  # seconds from the return of a processor until an unknown refund is settled
MADE_GOOD = 15  # seconds until a lost message is sent again
PASS, MEMORY = 2, 200  # seconds and megabytes of one pass
USUAL_TIMEOUT, SHORT_TIMEOUT = 25, 2  # seconds for a call: the default, and one for many calls
console = Console(width=120)


def main(*, quick: bool = False) -> None:
    """Measure everything, one after the other, and print a table for each part."""
    with tempfile.TemporaryDirectory(prefix="refund-desk-bench-") as name:
        stage = Stage(Path(name))
        try:
            stage.open()
            os.environ.update(stage.environment)
            django.setup()
            _measure(stage, quick=quick)
        finally:
            stage.close()


def _measure(stage: Stage, *, quick: bool) -> None:
    from django.contrib.auth.models import User

    from access.demo import create_people

    from . import lost_queue, outages, passes

    create_people()
    person = User.objects.get(username="manager")
    lengths = {30: SHORT_TIMEOUT} if quick else {60: SHORT_TIMEOUT, 300: USUAL_TIMEOUT}
    for seconds, timeout in lengths.items():
        recoveries = outages.measure(stage, person, seconds=seconds, timeout=timeout)
        console.print(_outages(recoveries, seconds, timeout))
    console.print(_lost_queue(lost_queue.measure(stage, person), lost_queue.REFUNDS))
    refunds = 10_000 if quick else 100_000
    console.print(_passes(passes.measure(stage, person, refunds), refunds))


def _outages(recoveries: list[Recovery], seconds: int, timeout: int) -> Table:
    table = Table(
        title=f"Unknown refunds after {seconds} s without the processor "
        f"(limit of a call: {timeout} s; target: {RECOVERED} s after its return)"
    )
    for column in ("the processor", "refund at", "answer lost", "breaker"):
        table.add_column(column)
    for column in ("s to success", "made there", ""):
        table.add_column(column, justify="right")
    for each in recoveries:
        soon = each.seconds is not None and each.seconds <= RECOVERED
        table.add_row(
            each.kind,
            each.processor,
            f"{each.when} it was made",
            "open" if each.breaker_opened else "closed",
            "never" if each.seconds is None else f"{each.seconds:.1f}",
            str(each.made),
            _verdict(soon and each.made == 1),
        )
    return table


def _lost_queue(result: MadeGood, refunds: int) -> Table:
    table = Table(title=f"{refunds} queued refunds of which the broker lost every message")
    table.add_column("until")
    table.add_column("s", justify="right")
    table.add_column("", justify="right")
    since_due = f"the last one is sent again, from when it is due for the sweep ({MADE_GOOD} s)"
    table.add_row(since_due, f"{result.since_due:.1f}", _verdict(result.since_due <= MADE_GOOD))
    table.add_row("the last one is sent again, from the loss", f"{result.handed_out:.1f}", "")
    one_each = _verdict(result.made == refunds)
    table.add_row("the last one succeeded, from the loss", f"{result.succeeded:.1f}", one_each)
    return table


def _passes(results: list[Pass], refunds: int) -> Table:
    from .passes import WARM

    table = Table(title=f"One pass over {refunds:,} open refunds (target: {PASS} s, {MEMORY} MB)")
    table.add_column("pass")
    for column in ("rows", "cold s", f"warm s, worst of {WARM}", "peak MB", ""):
        table.add_column(column, justify="right")
    for each in results:
        small = max(each.cold, each.warm) <= PASS and each.peak <= MEMORY
        table.add_row(
            each.name,
            str(each.did),
            f"{each.cold:.2f}",
            f"{each.warm:.2f}",
            f"{each.peak:.0f}",
            _verdict(small),
        )
    return table


def _verdict(is_met: object) -> str:
    return "ok" if is_met else "TARGET MISSED"
