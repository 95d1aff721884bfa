"""manage.py recover: after a restore of the database, before anything is sent again."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

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
from refunds.reconciliation import ReconciliationBusy, ReconciliationFailed, Tally, cases_of
from refunds.recovery import finish, hold_accounts, last_freed_at, suspect_refunds

# Only who says since when holds anew: another restore cannot be told from the rows.
_GO_ON = "manage.py recover (without --since)"


class Command(BaseCommand):
    help = (
        "After a restore of the database: with --since lets nothing be sent, fetches from the "
        "processors what the rows have forgotten, and frees each account when that is done; "
        "without it goes on with the accounts that are still held. Ends with 2 while an account is "
        "held or an option is wrong, 1 when something needs a person."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since",
            metavar="ISO8601",
            help="after each restore, once: hold all accounts, for what was written after this "
            "time of the backup, or a little before it, such as 2026-07-01T02:00:00Z",
        )

    def handle(self, *_args: Any, since: str | None, **_options: Any) -> None:
        console = open_console(self.stdout)
        accounts = _held(console) if since is None else _hold(console, read_since(since))
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
                held[account.slug] = f"{error} It stays held: run {_GO_ON}."
                continue
            except KeyboardInterrupt:
                raise CommandError(
                    f"Stopped. What is not free stays held: run {_GO_ON}.", returncode=NOT_DONE
                ) from None
            tallies[account.slug] = (done.tally, cases_of(account))
            if done.free_at:
                held[account.slug] = (
                    f"Compared, and still held: its processor may list refunds late. Run {_GO_ON} "
                    f"after {done.free_at:%Y-%m-%d %H:%M} UTC, or let beat do it."
                )
        if tallies:
            console.print(reconciled(tallies))
        _end(console, tallies.keys() - held.keys(), held)


def _hold(console: Console, since: datetime) -> list[ProcessorAccount]:
    """Hold all accounts, also those that an earlier run has freed; the active ones."""
    accounts = hold_accounts(since)
    console.print(f"Nothing is sent: all accounts are held, {len(accounts)} of them active.")
    return accounts


def _held(console: Console) -> list[ProcessorAccount]:
    """The active accounts that a run before has held and that are not free yet."""
    freed_at = last_freed_at()
    if not freed_at and not ProcessorAccount.objects.exclude(held_reason="").exists():
        raise CommandError(
            "No account was ever held, so there is nothing to go on with. If the database was "
            "restored, say since when: manage.py recover --since TIME",
            returncode=NOT_DONE,
        )
    accounts = choose_accounts(None)
    held = [account for account in accounts if account.held_reason]
    for account in accounts:
        if account not in held:
            console.print(f"{account.slug}: free already.")
    for account in ProcessorAccount.objects.exclude(held_reason="").filter(is_active=False):
        console.print(f"{account.slug}: held, and switched off. Switch it on, then run {_GO_ON}.")
    if not held and freed_at:
        console.print(
            f"Nothing active is held since {freed_at:%Y-%m-%d %H:%M} UTC. If the database was "
            "restored after that, say since when: manage.py recover --since TIME"
        )
    return held


def _end(console: Console, freed: AbstractSet[str], held: dict[str, str]) -> None:
    for slug in sorted(freed):
        console.print(f"{slug}: free again.")
    for slug, sentence in held.items():
        console.print(f"{slug}: {sentence}", markup=False, soft_wrap=True)
    if held:
        raise SystemExit(NOT_DONE)
    if any(cases_of(account) for account in ProcessorAccount.objects.filter(is_active=True)):
        console.print("Some refunds need a person: see the cases that need attention.")
        raise SystemExit(NEEDS_A_PERSON)
