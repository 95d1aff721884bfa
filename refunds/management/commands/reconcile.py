"""manage.py reconcile: compares our refunds with those that the processors list, both ways."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateways.models import ProcessorAccount
from refunds.management.console import (
    NEEDS_A_PERSON,
    NOT_DONE,
    choose_accounts,
    open_console,
    read_since,
    reconciled,
    wait_for_turn,
)
from refunds.reconciliation import (
    ReconciliationBusy,
    ReconciliationFailed,
    Tally,
    cases_of,
    reconcile,
)


class Command(BaseCommand):
    help = (
        "Compares our refunds with the processors', both ways, and records those made elsewhere. "
        "Safe to repeat. Ends with 1 when something needs a person, 2 when a processor cannot be "
        "read, an option is wrong, or it was stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="SLUG", help="only this account")
        parser.add_argument(
            "--since",
            metavar="ISO8601",
            help="from this time on, such as 2026-07-01; else what is new since the last run",
        )

    def handle(self, *_args: Any, account: str | None, since: str | None, **_options: Any) -> None:
        start = None if since is None else read_since(since)
        accounts = choose_accounts(account)
        console = open_console(self.stdout)
        tallies: dict[str, tuple[Tally, int]] = {}
        failed: dict[str, str] = {}
        for each in accounts:
            console.print(f"{each.slug} …")
            try:
                tallies[each.slug] = (_reconcile(each, start), cases_of(each))
            except ReconciliationFailed as error:
                failed[each.slug] = str(error)
            except KeyboardInterrupt:
                raise CommandError(
                    "Stopped. The next run goes on from there.", returncode=NOT_DONE
                ) from None
        if tallies:
            console.print(reconciled(tallies))
        for slug, sentence in failed.items():
            self.stderr.write(f"{slug}: {sentence}")
        if failed:
            raise SystemExit(NOT_DONE)
        if any(cases for _tally, cases in tallies.values()):
            console.print("Some refunds need a person: see the cases that need attention.")
            raise SystemExit(NEEDS_A_PERSON)


def _reconcile(account: ProcessorAccount, since: datetime | None) -> Tally:
    return wait_for_turn(partial(reconcile, account, since=since), ReconciliationBusy)
