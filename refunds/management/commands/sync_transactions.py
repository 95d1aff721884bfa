"""manage.py sync_transactions: pulls payments and refunds made elsewhere from the processors."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from gateways.models import ProcessorAccount
from refunds.management.console import choose_accounts, read_since, wait_for_turn
from refunds.sync import PARTS, OnProgress, SyncReport, sync_account
from transactions.streams import SyncBusy, SyncFailed
from transactions.upsert import SyncCounts

_REASONS_SHOWN = 20


class Command(BaseCommand):
    help = "Pulls payments and refunds made elsewhere from the processors. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="SLUG", help="only this account")
        parser.add_argument(
            "--since",
            metavar="ISO8601",
            help="read again from this time on, such as 2026-07-01 or 2026-07-01T12:00:00Z",
        )

    def handle(self, *_args: Any, account: str | None, since: str | None, **_options: Any) -> None:
        start = None if since is None else read_since(since)
        accounts = choose_accounts(account)
        self.stdout.ending = ""  # the console ends its lines itself
        console = Console(file=cast(IO[str], self.stdout), highlight=False)
        reports: dict[str, SyncReport] = {}
        failed: dict[str, str] = {}
        for each in accounts:
            try:
                with _shown(console, each.slug) as on_progress:
                    reports[each.slug] = _sync(each, start, on_progress)
            except SyncFailed as error:
                failed[each.slug] = str(error)
            except KeyboardInterrupt:
                raise CommandError("Stopped. The next run goes on from there.") from None
        if reports:
            console.print(_table(reports))
        for line in _reasons(reports):
            console.print(line, markup=False, soft_wrap=True)
        for slug, sentence in failed.items():
            self.stderr.write(f"{slug}: {sentence}")
        if failed:
            raise SystemExit(1)


def _sync(account: ProcessorAccount, since: datetime | None, on_progress: OnProgress) -> SyncReport:
    run = partial(sync_account, account, since=since, on_progress=on_progress)
    return wait_for_turn(run, SyncBusy)


@contextmanager
def _shown(console: Console, slug: str) -> Iterator[OnProgress]:
    """A bar for each part on a terminal; elsewhere one line says whose turn it is."""
    if not console.is_terminal:
        console.print(f"{slug} …")
        yield lambda _part, _counts, _share: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TextColumn("{task.fields[read]}"), console=console) as progress:
        bars = {
            part: progress.add_task(f"{slug} {part}", total=1.0, read="", visible=False)
            for part in PARTS
        }

        def show(part: str, counts: SyncCounts, share: float) -> None:
            read = f"{counts.read:,} read"
            progress.update(bars[part], completed=share, read=read, visible=True)

        yield show


def _table(reports: dict[str, SyncReport]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("account", no_wrap=True)
    table.add_column("what")
    for name in ("new", "changed", "unchanged", "refused"):
        table.add_column(name, justify="right")
    for slug, report in reports.items():
        for part in PARTS:
            counts: SyncCounts = getattr(report, part)
            numbers = (f"{number:,}" for number in counts.as_json().values())
            table.add_row(slug, part, *numbers)
    return table


def _reasons(reports: dict[str, SyncReport]) -> Iterator[str]:
    """Why records were refused, the first of each part."""
    for slug, report in reports.items():
        for part in PARTS:
            counts: SyncCounts = getattr(report, part)
            for record in counts.rejected[:_REASONS_SHOWN]:
                yield f"{slug}: {part} {record.external_id}: {record.reason}"
            if (more := counts.refused - _REASONS_SHOWN) > 0:
                yield f"{slug}: {part}: {more:,} more were refused."
