"""``python -m chaos``: break everything, compare the books, print a table.

The exit status is 1 when anything was found. The story of each find is printed with its name;
``--again NAME`` plays that one alone.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from itertools import islice

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from refunds_site.supervisor import StartError

from . import ground
from .cells import cells, fixed_cells
from .crew import Crew, Work, play_scenarios
from .report import Report

_ALL = ("grid", "random", "machine", "processes")
_EXAMPLES = 200  # of the Hypothesis machine
_TELLS_EVERY = 250  # runs, in a log


def main() -> int:
    """Run what the command line asks for; how the process ends."""
    wish = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    console = Console(width=max(Console().width, 110))
    report = Report(console)
    started = time.monotonic()
    try:
        if quick := list(_quick(wish)):
            with ground.prepared(durable=False) as where:
                _play(Crew(where, wish.jobs), quick, report, console)
        if "processes" in wish.only and not wish.again:
            for result in play_scenarios(fixed=wish.fixed):
                report.add(result)
    except KeyboardInterrupt:
        report.print_table("stopped before the end")
        return 130
    except StartError as error:
        console.print(str(error))
        return 1
    report.print_table(f"seed {wish.seed}, {time.monotonic() - started:.0f} s")
    return 1 if report.finds else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000, help="how many random ones")
    parser.add_argument("--seed", type=int, default=1, help="of the random ones")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--only", choices=_ALL, action="append", help="a part of it")
    parser.add_argument("--fixed", action="store_true", help="the slice that make test runs")
    parser.add_argument("--again", metavar="NAME", help="one run, by the name that was printed")
    wish = parser.parse_args()
    wish.only = wish.only or _ALL
    return wish


def _quick(wish: argparse.Namespace) -> Iterator[Work]:
    """What the fast driver plays: the machine, cells of the grid, random schedules."""
    if wish.again:
        yield Work("grid" if "/" in wish.again else "random", wish.again)
        return
    if "machine" in wish.only:
        yield Work("machine", str(10 if wish.fixed else _EXAMPLES))
    if "grid" in wish.only:
        yield from (Work("grid", name) for name in _cells(fixed=wish.fixed))
    if "random" in wish.only:
        numbers = islice(range(wish.schedules), 40 if wish.fixed else None)
        yield from (Work("random", f"{wish.seed}-{number}") for number in numbers)


def _cells(*, fixed: bool) -> list[str]:
    return [cell.name for cell in (fixed_cells() if fixed else cells())]


def _play(crew: Crew, work: list[Work], report: Report, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with crew, Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("breaking things", total=len(work))
        for number, result in enumerate(crew.results(work), 1):
            report.add(result)
            progress.update(task, advance=1, description=f"{report.finds} finds")
            if not console.is_terminal and number % _TELLS_EVERY == 0:  # where no bar is drawn
                console.print(f"{number} of {len(work)}, {report.finds} finds")


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
