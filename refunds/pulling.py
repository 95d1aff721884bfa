"""“Pull now” on the transactions table: hands the sync to a worker and shows how far it is."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celery import current_app
from django.db.models import Prefetch, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from access.rights import accounts_where, may_somewhere
from access.scoping import staff_accounts
from gateways.models import ProcessorAccount
from transactions.models import Stream, SyncState

PULL = "transactions.sync_transaction"
_EPOCH = re.compile("[0-9]{1,10}")
_POLL_AFTER = 1500  # milliseconds
# After that a run that was asked for and has not begun is no longer waited for.
_PATIENCE = timedelta(minutes=2)
# The longest that a run may take (refunds.sync_tasks).
_LONGEST = timedelta(hours=1)


class AccountSync:
    """How far one account is: its payments are read first, its refunds last."""

    def __init__(self, account: ProcessorAccount) -> None:
        self.account = account
        self.states: list[SyncState] = list(account.sync_states.all())

    @cached_property
    def is_reading(self) -> bool:
        payments, refunds = self._state(Stream.PAYMENTS), self._state(Stream.REFUNDS)
        if not payments or not payments.started_at:
            return False
        if timezone.now() - payments.started_at > _LONGEST:
            return False
        if not payments.finished_at:
            return True
        done = refunds and refunds.finished_at and refunds.finished_at >= payments.started_at
        return not payments.error and not done

    @property
    def error(self) -> str:
        return next((state.error for state in self.states if state.error), "")

    @property
    def finished_at(self) -> datetime | None:
        return max((state.finished_at for state in self.states if state.finished_at), default=None)

    @property
    def read(self) -> int:
        """Records that the last run has read so far."""
        return sum(sum(state.counts.values()) for state in self.states)

    def has_begun_since(self, asked: datetime) -> bool:
        payments = self._state(Stream.PAYMENTS)
        return bool(payments and payments.started_at and payments.started_at >= asked)

    def _state(self, stream: Stream) -> SyncState | None:
        return next((state for state in self.states if state.stream == stream), None)


@dataclass(slots=True)
class Pulling:
    """The panel: every active account, and whether to ask again (``poll_after`` milliseconds)."""

    accounts: list[AccountSync]
    asked: int
    may_pull: bool
    poll_after: int | None = None
    problem: str = ""

    @property
    def reading(self) -> list[AccountSync]:
        return [one for one in self.accounts if one.is_reading]

    @property
    def finished_at(self) -> datetime | None:
        return max((one.finished_at for one in self.accounts if one.finished_at), default=None)

    @property
    def has_errors(self) -> bool:
        return any(one.error for one in self.accounts)


def describe(request: HttpRequest, asked: int = 0, problem: str = "") -> Pulling:
    """How far the active accounts are that the person sees; ``asked`` is when they pressed the
    button (epoch).
    """
    states = Prefetch("sync_states", SyncState.objects.order_by("stream"))
    shown = staff_accounts(request, "transactions.view_transaction")
    active = [account for account in shown if account.is_active]
    prefetch_related_objects(active, states)
    accounts = [AccountSync(account) for account in active]
    pulling = Pulling(accounts, asked, may_somewhere(request.user, PULL), problem=problem)
    pressed = datetime.fromtimestamp(asked, UTC)
    waits = timezone.now() - pressed < _PATIENCE and not all(
        one.has_begun_since(pressed) for one in accounts if not one.account.paused_reason
    )
    if pulling.reading or (waits and not problem):
        pulling.poll_after = _POLL_AFTER
    return pulling


def answer(request: HttpRequest) -> HttpResponse:
    """POST asks a worker to pull one account (``account``) or all; GET shows how far that is."""
    if request.method == "POST":
        asked, problem = int(time.time()), _pull(request)
        if not request.headers.get("HX-Request"):
            return redirect("admin:transactions_transaction_changelist")
        pulling = describe(request, asked, problem)
    else:
        text = request.GET.get("asked", "")
        pulling = describe(request, int(text) if _EPOCH.fullmatch(text) else 0)
    response = render(request, "refunds/_pulling.html", {"pulling": pulling})
    if not pulling.poll_after:
        response["HX-Trigger"] = "pulled"
    return response


def _pull(request: HttpRequest) -> str:
    """Have the account read that was named, or all that the person may have read."""
    slug, theirs = request.POST.get("account", ""), staff_accounts(request, PULL)
    if slug:
        named = [account for account in theirs if account.slug == slug]
        return enqueue(named) if named else _("There is no account %s.") % slug
    if accounts_where(request.user, PULL) is None:
        return enqueue()
    return enqueue([each for each in theirs if each.is_active and not each.paused_reason])


def enqueue(accounts: Sequence[ProcessorAccount] | None = None) -> str:
    """Have these accounts read, or all; the sentence of what stands against it, or nothing."""
    try:
        for account in accounts or ():
            current_app.send_task("refunds.tasks.sync_account", args=[account.pk])
        if accounts is None:
            current_app.send_task("refunds.tasks.sync_all_accounts")
    except (OperationalError, OSError):
        return _("The queue cannot be reached. Nothing was asked for; try again in a minute.")
    return ""
