"""manage.py recover: after a restore of the database, before anything is sent again."""

from __future__ import annotations

from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from refunds.management.console import (
    NEEDS_A_PERSON,
    NOT_DONE,
    open_console,
    read_since,
    reconciled,
    wait_for_turn,
)
from refunds.reconciliation import ReconciliationBusy, ReconciliationFailed, Tally, cases_of
from refunds.recovery import finish, hold_accounts, suspect_refunds


class Command(BaseCommand):
    help = (
        "After a restore of the database: lets nothing be sent, fetches from the processors what "
        "the rows have forgotten, and frees each account when that is done. Safe to repeat. Ends "
        "with 2 while an account is held or an option is wrong, 1 when something needs a person."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since",
            metavar="ISO8601",
            required=True,
            help="the time of the backup, or a little before it, such as 2026-07-01T02:00:00Z",
        )

    def handle(self, *_args: Any, since: str, **_options: Any) -> None:
        start = read_since(since)
        console = open_console(self.stdout)
        accounts = hold_accounts(start)
        console.print(f"Nothing is sent: all accounts are held, {len(accounts)} of them active.")
        suspected = suspect_refunds()
        console.print(
            f"{suspected.interrupted} refunds that were being sent count as unknown; "
            f"{suspected.looked_up} are looked up before anything is sent for them."
        )
        tallies: dict[str, tuple[Tally, int]] = {}
        held: dict[str, str] = {}
        for account in accounts:
            try:
                done = wait_for_turn(partial(finish, account), ReconciliationBusy)
            except ReconciliationFailed as error:
                held[account.slug] = f"{error} It stays held: run this again."
                continue
            except KeyboardInterrupt:
                raise CommandError(
                    "Stopped. What is not free stays held: run it again.", returncode=NOT_DONE
                ) from None
            tallies[account.slug] = (done.tally, cases_of(account))
            if done.free_at:
                held[account.slug] = (
                    "Compared, and still held: its processor may list refunds late. Run this "
                    f"again after {done.free_at:%Y-%m-%d %H:%M} UTC, or let beat do it."
                )
        if tallies:
            console.print(reconciled(tallies))
        _end(console, tallies, held)


def _end(console: Console, tallies: dict[str, tuple[Tally, int]], held: dict[str, str]) -> None:
    for slug in sorted(tallies.keys() - held.keys()):
        console.print(f"{slug}: free again.")
    for slug, sentence in held.items():
        console.print(f"{slug}: {sentence}", markup=False, soft_wrap=True)
    if held:
        raise SystemExit(NOT_DONE)
    if any(cases for _tally, cases in tallies.values()):
        console.print("Some refunds need a person: see the cases that need attention.")
        raise SystemExit(NEEDS_A_PERSON)
