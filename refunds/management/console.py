"""What the commands that ask processors share: which accounts, since when, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from django.core.management.base import CommandError
from django.utils import timezone
from rich import box
from rich.table import Table

from gateways.models import ProcessorAccount
from refunds.reconciliation import Tally

_PATIENCE_SECONDS = 60
_COLUMNS = ("compared", "equal", "recorded", "followed", "awaited", "missing")
Done = TypeVar("Done")


def read_since(text: str) -> datetime:
    """The time that ``--since`` names. Raises CommandError."""
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"--since {text!r} is not a time such as 2026-07-01 or 2026-07-01T12:00:00Z."
        ) from None
    if since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    if not datetime(2000, 1, 1, tzinfo=UTC) <= since <= timezone.now():
        raise CommandError(f"--since {text} lies in the future or before the year 2000.")
    return since


def choose_accounts(slug: str | None) -> list[ProcessorAccount]:
    """The account that is named, or all that are active. Raises CommandError."""
    if slug is None:
        accounts = list(ProcessorAccount.objects.filter(is_active=True))
        if not accounts:
            raise CommandError("No account is active. Add one with: manage.py account add")
        return accounts
    try:
        return [ProcessorAccount.objects.get(slug=slug)]
    except ProcessorAccount.DoesNotExist:
        known = ", ".join(ProcessorAccount.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(f"There is no account {slug!r}. Known: {known}.") from None


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
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("account", no_wrap=True)
    for name in (*_COLUMNS, "needs a person"):
        table.add_column(name, justify="right")
    for slug, (tally, cases) in tallies.items():
        numbers = (f"{getattr(tally, name):,}" for name in _COLUMNS)
        table.add_row(slug, *numbers, f"{cases:,}")
    return table
