"""Comparing our refunds with a processor's, both ways, over one span of time.

Theirs → ours: every refund that the processor lists has exactly one row here with its amount and
state. Ours → theirs: every refund here that was made is known there; one that no list showed is
asked for alone, and one that cannot be found needs a person. It is never taken for failed: lists
lag, and silence proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, OperationalError, reset_queries
from django.db import transaction as database
from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.base import Lookup, PaymentGateway, ReportedRefund
from gateways.errors import GatewayError, Misconfigured, OutcomeUnknown
from gateways.failpoints import reach
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from transactions.advisory import advisory_lock
from transactions.streams import OVERLAP, SyncBusy, SyncFailed, ahead_of_us, sentence_of
from transactions.sync import sync_payments

from .clock import CLOCK_SKEW
from .disputes import raise_disputes
from .earlier import look_for
from .models import Attention, AttentionKind, Reconciliation, Refund
from .orders import load_order
from .outside import Compared, compare_reported_refunds, flag_once
from .outside_voids import record_outside_voids
from .placing import put_unreadable_before_a_person
from .recording import keep_exchanges
from .states import Origin, Status
from .transitions import lock_refund

K = AttentionKind

# What a comparison finds that needs a person.
KINDS = frozenset(
    {
        K.AMOUNT_DIFFERS,
        K.FOUND_SEVERAL,
        K.MADE_OUTSIDE,
        K.MISSING,
        K.OVER_REFUNDED,
        K.PAID_AFTER_ALL,
        K.RETURNED,
        K.UNPLACED,
    }
)
# What the processor has made, as far as we know, and so has to know.
_MADE = (Status.PENDING, Status.SUCCEEDED)
# A first comparison, and the nightly one, go this far back.
FAR_BACK = timedelta(days=35)
_LOCKS = 7_266_858 << 32  # PostgreSQL's advisory locks from this number on, one per account
# How many of ours are asked for between two savings of the place.
_BATCH = 50
# So many answers in a row that prove nothing are the processor's trouble, not a refund's.
_FAILURES_IN_A_ROW = 3


class ReconciliationFailed(Exception):
    """A comparison could not go on; the sentence says why. The next one goes on from there."""


class ReconciliationBusy(ReconciliationFailed):
    """Another comparison of the same account is under way."""


@dataclass
class Tally:
    """What was counted: ``compared`` are theirs, ``asked`` those of ours that no list showed.

    ``recorded`` had no row here, ``followed`` had another state, ``awaited`` may be ours and have
    no answer yet, ``differing`` say something else than their row, ``unplaced`` fit no payment,
    ``missing`` are ours that the processor does not know, ``unclear`` got no answer.
    """

    compared: int = 0
    equal: int = 0
    recorded: int = 0
    followed: int = 0
    awaited: int = 0
    differing: int = 0
    unplaced: int = 0
    asked: int = 0
    missing: int = 0
    unclear: int = 0

    def add(self, other: Tally) -> None:
        for name, number in asdict(other).items():
            setattr(self, name, getattr(self, name) + number)

    def count(self, compared: Compared) -> None:
        outcomes = compared.outcomes
        self.compared += outcomes.total() + len(compared.rejected)
        self.equal += outcomes["unchanged"]
        self.recorded += outcomes["new"]
        self.followed += outcomes["changed"]
        self.awaited += outcomes["awaited"]
        self.differing += outcomes["differs"]
        self.unplaced += len(compared.rejected)


# Told after every page what was counted so far.
OnPage = Callable[[Tally], None]


def reconcile(
    account: ProcessorAccount,
    *,
    since: datetime | None = None,
    on_page: OnPage = lambda _tally: None,
) -> Tally:
    """Compare what was made since the last comparison, or from ``since`` on, both ways.

    A run that broke off is finished first. Safe to repeat and to kill at any time. Raises
    ReconciliationFailed with a sentence (ReconciliationBusy while another one is on).
    """
    try:
        gateway = open_gateway(account)
    except Misconfigured as error:
        raise ReconciliationFailed(str(error)) from error
    with _alone(account), closing(gateway.transport):
        _pull_payments(account, gateway)
        _hurry_unknown(account)
        tally = Tally()
        for row in _rows(account, gateway, since):
            with _written_down(row):
                comparison = _Comparison(row, account, gateway, on_page)
                comparison.run()
                tally.add(comparison.tally)
    return tally


def cases_of(account: ProcessorAccount) -> int:
    """How many open cases of the kinds that a comparison finds wait for a person."""
    return Attention.objects.open().filter(account=account, kind__in=KINDS).count()


class _Comparison:
    """One run over one row, from where its cursor is to the end."""

    def __init__(
        self,
        row: Reconciliation,
        account: ProcessorAccount,
        gateway: PaymentGateway,
        on_page: OnPage,
    ) -> None:
        self.row = row
        self.account = account
        self.gateway = gateway
        self.on_page = on_page
        self.tally = Tally(**row.counts)
        self._failures = 0

    def run(self) -> None:
        if "after" not in self.row.cursor:
            self._compare_theirs(self.row.cursor.get("page", ""))
        self._ask_about_ours()

    def _compare_theirs(self, cursor: str) -> None:
        # What changed since the run began moves within lists, so none of them is cut off there.
        until = timezone.now() + ahead_of_us(self.account)
        for page in self.gateway.list_refunds(self.row.since - CLOCK_SKEW, until, cursor):
            self._compare(page.records)
            self.tally.unplaced += len(page.rejected)
            for record in page.rejected:
                put_unreadable_before_a_person(self.account, record)
            reach("in-reconcile-page")
            self._save({"page": page.cursor} if page.cursor else {"after": ""})
        self._save({"after": ""})

    def _ask_about_ours(self) -> None:
        while batch := self._unconfirmed():
            for refund in batch:
                self._ask(refund)
            self._save({"after": str(batch[-1].pk)})

    def _unconfirmed(self) -> list[Refund]:
        """The next refunds of ours that were made in the span and that no list has shown.

        Lists go by the processor's clock, and those of ours by ours: what lies at the edge and was
        not listed is asked for. The newest may not be listed yet, and belong to the next run.
        """
        sent = Coalesce("attempts__first_sent_at", "attempts__started_at")
        newest = self.row.until - self.gateway.capabilities.lookup_lag
        ours = Refund.objects.select_related("account", "transaction").alias(sent_at=sent)
        due = ours.filter(
            Q(confirmed_at__isnull=True) | Q(confirmed_at__lt=self.row.started_at),
            account=self.account,
            status__in=_MADE,
            sent_at__gte=self.row.since,
            sent_at__lt=newest,
        )
        if after := self.row.cursor["after"]:
            due = due.filter(pk__gt=after)
        return list(due.exclude(origin=Origin.EXTERNAL).distinct().order_by("pk")[:_BATCH])

    def _ask(self, refund: Refund) -> None:
        self.tally.asked += 1
        try:
            found = self._look_for(refund)
        except OutcomeUnknown:
            self._failures += 1
            if self._failures == _FAILURES_IN_A_ROW:
                raise
            self.tally.unclear += 1
            return
        self._failures = 0
        if found.matches:
            self._compare(found.matches)
        elif found.likely or not found.complete:
            self.tally.unclear += 1
        else:
            self._miss(refund, found)

    def _look_for(self, refund: Refund) -> Lookup:
        """By its id; where that brings nothing, by the reference of its attempt."""
        attempt = refund.attempts.order_by("-number")[0]
        found = Lookup((), complete=True)
        if refund.processor_refund_id:
            order = load_order(attempt, refund_id=refund.processor_refund_id)
            found = look_for(refund, order, self.gateway)
        if found.matches:
            return found
        by_reference = look_for(refund, load_order(attempt), self.gateway)
        return replace(by_reference, exchanges=found.exchanges + by_reference.exchanges)

    def _miss(self, refund: Refund, found: Lookup) -> None:
        with database.atomic():
            refund = lock_refund(refund.pk)
            attempt = refund.attempts.select_for_update().order_by("-number")[0]
            keep_exchanges(attempt, found.exchanges)
            attempt.save(update_fields=["exchanges"])
            if refund.status not in _MADE:  # it ended otherwise while it was asked for
                return
            self.tally.missing += 1
            flag_once(
                refund,
                AttentionKind.MISSING,
                _("It counts as “%s” here, and the processor does not know it. Look there.")
                % refund.get_status_display(),
                {"refund": refund.processor_refund_id or "", "reference": attempt.reference},
            )

    def _compare(self, reported: tuple[ReportedRefund, ...]) -> None:
        self.tally.count(compare_reported_refunds(self.account, self.gateway, reported))
        # Evidence, and in debug mode every statement, would pile up in a long run.
        self.gateway.transport.take_exchanges()
        reset_queries()

    def _save(self, cursor: dict[str, str]) -> None:
        self.row.cursor, self.row.counts = cursor, asdict(self.tally)
        self.row.save(update_fields=["cursor", "counts"])
        self.on_page(self.tally)


@contextmanager
def _alone(account: ProcessorAccount) -> Iterator[None]:
    with advisory_lock(_LOCKS + account.pk) as is_ours:
        if not is_ours:
            raise ReconciliationBusy(
                _("Another reconciliation of this account is running. Wait for it.")
            )
        yield


@contextmanager
def _written_down(row: Reconciliation) -> Iterator[None]:
    """Close a row that was run to its end; say in any other why it broke off."""
    error = _("The run was stopped. The next one goes on from there.")
    try:
        yield
        error = ""
    except (GatewayError, OperationalError) as problem:
        error = sentence_of(problem)
        raise ReconciliationFailed(error) from problem
    finally:
        with suppress(DatabaseError, InterfaceError):  # the first error is the one to show
            ended = {} if error else {"finished_at": Now()}
            Reconciliation.objects.filter(pk=row.pk).update(error=error, **ended)


def _pull_payments(account: ProcessorAccount, gateway: PaymentGateway) -> None:
    """Some processors do not name the payment of a refund, so payments have to be known first."""
    try:
        sync_payments(account, gateway)
    except SyncBusy:
        pass  # somebody is pulling them just now
    except SyncFailed as error:
        raise ReconciliationFailed(str(error)) from error
    record_outside_voids(account)
    raise_disputes()


def _hurry_unknown(account: ProcessorAccount) -> None:
    """A comparison asks about everything: also about what waits for its next look-up."""
    Refund.objects.waiting(Status.UNKNOWN).filter(account=account).make_due()


def _rows(
    account: ProcessorAccount, gateway: PaymentGateway, since: datetime | None
) -> Iterator[Reconciliation]:
    """What is to be compared: the rest of a run that broke off, then all up to now."""
    rows = Reconciliation.objects.filter(account=account)
    if broken_off := rows.filter(finished_at__isnull=True).first():
        yield broken_off
        if since is not None and since >= broken_off.since:
            since = None
    now = timezone.now()
    last = rows.order_by("-until").first()
    overlap = OVERLAP + gateway.capabilities.lookup_lag
    due = last.until - overlap if last else now - FAR_BACK
    if since is None or (last and due < since):  # never a gap behind what was compared so far
        since = due
    yield Reconciliation.objects.create(account=account, since=since, until=now)
