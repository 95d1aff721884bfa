"""What the commands that ask processors share: which accounts, since when, and how it ended."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, TypeVar, cast

from django.core.management.base import CommandError, OutputWrapper
from django.utils import timezone
from rich import box
from rich.console import Console
from rich.table import Table

from gateways.models import ProcessorAccount
from gateways.moments import in_utc
from refunds.reconciliation import Tally

# How commands end. 1 is kept for what people have to see to, and never means a wrong option.
NEEDS_A_PERSON = 1
NOT_DONE = 2
READER_LEFT = 128 + signal.SIGPIPE  # as the shell says of other programs that this ends
_PATIENCE_SECONDS = 60
# Python reads more than this, such as weeks, which nobody means.
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}.*)?")
# So wide is the table of a comparison. A narrower terminal wraps its lines, and no number is cut.
_WIDTH = 120
# Counts of a tally, and the heads that they stand under.
_COLUMNS = {
    "compared": "compared",
    "equal": "equal",
    "recorded": "recorded",
    "followed": "followed",
    "awaited": "awaited",
    "differing": "differs",
    "unplaced": "no payment",
    "missing": "missing",
    "unclear": "no answer",
}
Done = TypeVar("Done")


def read_since(text: str) -> datetime:
    """The time that ``--since`` names, in UTC. Raises CommandError."""
    written = text if _TIME.fullmatch(text) else ""
    try:
        since = in_utc(datetime.fromisoformat(written))
    except ValueError:
        raise CommandError(
            f"--since {text!r} is not a time such as 2026-07-01 or 2026-07-01T12:00:00Z.",
            returncode=NOT_DONE,
        ) from None
    if not datetime(2000, 1, 1, tzinfo=UTC) <= since <= timezone.now():
        raise CommandError(
            f"--since {text} lies in the future or before the year 2000.", returncode=NOT_DONE
        )
    return since


def choose_accounts(slug: str | None) -> list[ProcessorAccount]:
    """The account that is named, or all that are active. Raises CommandError."""
    if slug is None:
        accounts = list(ProcessorAccount.objects.filter(is_active=True))
        if not accounts:
            raise CommandError(
                "No account is active. Add one with: manage.py account add", returncode=NOT_DONE
            )
        return accounts
    try:
        return [ProcessorAccount.objects.get(slug=slug)]
    except ProcessorAccount.DoesNotExist:
        known = ", ".join(ProcessorAccount.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(
            f"There is no account {slug!r}. Known: {known}.", returncode=NOT_DONE
        ) from None


def open_console(stdout: OutputWrapper) -> Console:
    """Where a command prints the tables of comparisons."""
    stdout.ending = ""  # the console ends its lines itself
    console = Console(file=cast(IO[str], stdout), highlight=False)
    console.width = max(console.width, _WIDTH)
    return console


@contextmanager
def until_reader_leaves() -> Iterator[None]:
    """End without a word when whoever reads the output has seen enough, as ``head`` has."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, and there is nobody to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(READER_LEFT) from None


def wait_for_turn(run: Callable[[], Done], busy: type[Exception]) -> Done:
    """Run after a run that beat or the button has under way, if that ends soon."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return run()
        except busy:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def reconciled(tallies: Mapping[str, tuple[Tally, int]]) -> Table:
    """What comparisons counted, by account, with the cases that wait for a person."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("account", no_wrap=True)
    for name in (*_COLUMNS.values(), "needs a person"):
        table.add_column(name, justify="right")
    for slug, (tally, cases) in tallies.items():
        numbers = (f"{getattr(tally, count):,}" for count in _COLUMNS)
        table.add_row(slug, *numbers, f"{cases:,}")
    return table
