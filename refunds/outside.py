"""Refunds that were made elsewhere: each one that a processor reports becomes exactly one row.

A report with the reference of an attempt of ours, or the id of a refund of ours, is evidence about
that refund. One that could be ours while we still wait for an answer is left alone until the answer
is there. Everything else is a fact that is recorded, also where it breaks the cap, and shown to a
person unless it is from before the account was added here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from django.db import DataError, IntegrityError
from django.db import transaction as database
from django.db.models import Min, Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.base import BadRecord, PaymentGateway, RefundState, ReportedRefund
from gateways.models import ProcessorAccount
from transactions.models import Transaction
from transactions.text import clean
from transactions.upsert import SyncCounts, why_refused

from .attention import close_cases, flag
from .clock import day_in_words
from .doubts import doubt_listed, note_failure
from .external import MADE, STATUS_OF, Case, failure_fields, flag_outside, record_external
from .found import keeps_references, told_after_all, told_by_time
from .history import record_event
from .models import MAX_ATTEMPTS, TAKEN_BACK, Attention, AttentionKind, Refund, RefundAttempt
from .orders import reference_of
from .placing import (
    NOT_LEFT,
    check,
    doubt_all_like,
    find_payment,
    put_before_a_person,
    read_payment,
)
from .recording import another_payment, evidence_of
from .resolution import apply_reported, mark_returned
from .services import is_owed_again
from .states import LIVE_ATTEMPTS, AttemptState, Origin, Status
from .transitions import lock_refund, move

K = AttentionKind

# What a report makes of a refund that is known already, and the name of the event.
_NEXT = {
    (Status.PENDING, RefundState.SUCCEEDED): (Status.SUCCEEDED, "succeeded"),
    (Status.PENDING, RefundState.FAILED): (Status.FAILED, "refused"),
    (Status.SUCCEEDED, RefundState.FAILED): (Status.RETURNED, "returned"),
    (Status.FAILED, RefundState.SUCCEEDED): (Status.SUCCEEDED, "succeeded"),
}
# Reports that say the same as our row, or what it said before: lists lag behind.
_AGREEING = {
    (Status.PENDING, RefundState.PENDING),
    (Status.SUCCEEDED, RefundState.PENDING),
    (Status.SUCCEEDED, RefundState.SUCCEEDED),
    (Status.FAILED, RefundState.FAILED),
    (Status.RETURNED, RefundState.FAILED),
}
# ``awaited``: left alone, because it may be a refund of ours that has no answer yet. ``differs``:
# it is a row of ours, and says something else than the row; that needs a person.
Outcome = Literal["new", "changed", "unchanged", "awaited", "differs"]


@dataclass
class Compared:
    """What became of a page of reports: how many came to which outcome, and what was refused."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    rejected: list[BadRecord] = field(default_factory=list)


def record_reported_refunds(
    account: ProcessorAccount, gateway: PaymentGateway, reported: Sequence[ReportedRefund]
) -> SyncCounts:
    """Write down what a page of a processor's refunds tells. Repeating it changes nothing.

    A refund that fits no payment is counted as refused, with a sentence, and put before a person.
    Raises NotSent when the payment of one has to be read first and cannot.
    """
    compared = compare_reported_refunds(account, gateway, reported)
    outcomes = compared.outcomes
    counts = SyncCounts(
        new=outcomes["new"],
        changed=outcomes["changed"],
        unchanged=outcomes["unchanged"] + outcomes["awaited"] + outcomes["differs"],
        awaited=outcomes["awaited"],
    )
    for record in compared.rejected:
        counts.reject(record)
    return counts


def compare_reported_refunds(
    account: ProcessorAccount, gateway: PaymentGateway, reported: Sequence[ReportedRefund]
) -> Compared:
    """The same, told apart more finely."""
    compared = Compared()
    if not reported:
        return compared
    page = _Page(account, gateway, reported)
    for each in reported:
        try:
            if each.state == RefundState.FAILED:  # whatever it was
                note_failure(account, each.external_id)
            outcome = page.record(each)
        except ValueError as error:
            put_before_a_person(account, each, error)
            compared.rejected.append(BadRecord(clean(each.external_id, 100), str(error)))
        except (DataError, IntegrityError) as error:
            why = why_refused(error)
            put_before_a_person(account, each, why)
            compared.rejected.append(BadRecord(clean(each.external_id, 100), why))
        else:
            compared.outcomes[outcome] += 1
    page.confirm()
    return compared


def oldest_open(account: ProcessorAccount) -> Refund | None:
    """The oldest refund about which a list of refunds may still tell something new, or None."""
    awaited = (
        Q(status__in=[Status.SENDING, Status.UNKNOWN])
        | Q(status=Status.PENDING, origin=Origin.EXTERNAL)
        | Q(status__in=NOT_LEFT, look_up_first=True)
    )
    return Refund.objects.filter(awaited, account=account).order_by("created_at").first()


class _Page:
    """The rows that a page of reports is about, read in few queries."""

    def __init__(
        self,
        account: ProcessorAccount,
        gateway: PaymentGateway,
        reported: Sequence[ReportedRefund],
    ) -> None:
        self.account = account
        self.gateway = gateway
        self.reported = reported
        self.confirmed: set[UUID] = set()
        refunds = Refund.objects.filter(
            account=account, processor_refund_id__in=[each.external_id for each in reported]
        ).select_related("transaction")
        self.refunds = {refund.processor_refund_id: refund for refund in refunds}
        attempts = RefundAttempt.objects.filter(
            account=account, reference__in=[each.reference for each in reported if each.reference]
        )
        self.attempts = {
            each.reference: each for each in attempts.select_related("refund__transaction")
        }
        restored = Refund.objects.filter(account=account, look_up_first=True, status__in=NOT_LEFT)
        self.restored = {
            reference_of(refund_id, number)
            for refund_id in restored.values_list("pk", flat=True)
            for number in range(1, MAX_ATTEMPTS + 1)
        }
        payments = Transaction.objects.filter(
            account=account, external_id__in=[each.payment_id for each in reported]
        )
        self.payments = dict(payments.values_list("external_id", "pk"))

    def record(self, reported: ReportedRefund) -> Outcome:
        """Raises ValueError with a sentence."""
        if refund := self.refunds.get(reported.external_id):
            return self._follow(refund, reported)
        case: Case | None = None
        if attempt := self.attempts.get(reported.reference):
            if reported.state == RefundState.FAILED:
                _tell_called_off(attempt, reported)
            other = attempt.refund.processor_refund_id
            is_live = attempt.state in LIVE_ATTEMPTS and not attempt.refund.is_taken_back
            is_double = other is not None and is_live
            if not is_double and (is_live or _has_ended_with(attempt, reported)):
                outcome = self._follow(attempt.refund, reported)
                attempt.refund.refresh_from_db()
                return outcome
            if reported.state == RefundState.FAILED:
                return "unchanged"
            case = _double(attempt, reported) if is_double else _made_after_all(attempt)
        elif reported.reference in self.restored:
            return "awaited"
        if not reported.has_own_id and (ours := self._counts_as(reported)):
            self.confirmed.add(ours)
            return "unchanged"
        check(reported)
        if attempt and not reported.payment_id:  # our reference tells it
            payment = attempt.refund.transaction
            self.payments[payment.external_id] = payment.pk
            reported = replace(reported, payment_id=payment.external_id)
        payment_id = self._payment_of(reported)
        if payment_id is None:
            return "awaited"
        return record_external(self.account, payment_id, reported, case)

    def confirm(self) -> None:
        """Note of what was reported as it stands here that the processor knows it."""
        keys = self.confirmed
        with database.atomic():
            # Whoever holds one of them is changing it just now, and it is confirmed another time.
            rows = Refund.objects.filter(pk__in=keys).order_by("pk").select_for_update(
                skip_locked=True, no_key=True
            )  # fmt: skip
            free = list(rows.values_list("pk", flat=True))
            Refund.objects.filter(pk__in=free).update(confirmed_at=Now())
        missed = Refund.objects.filter(
            pk__in=keys, cases__kind=AttentionKind.MISSING, cases__closed_at__isnull=True
        )
        for refund_id in missed.values_list("pk", flat=True):
            with database.atomic():
                found = _("The processor reports it.")
                close_cases(lock_refund(refund_id), {AttentionKind.MISSING}, found)

    def _follow(self, refund: Refund, reported: ReportedRefund) -> Outcome:
        """Take a refund that is known already over the edge that a report proves, if any."""
        status = Status(refund.status)
        is_ours = refund.origin != Origin.EXTERNAL
        if is_ours and status == Status.SENDING:
            return "awaited"
        if against := another_payment(refund, reported):
            self._doubt_named(reported)
            evidence = {"refund": reported.external_id, "payment": reported.payment_id}
            told = {name: clean(value, 100) for name, value in evidence.items() if value}
            flag_once(refund, against.kind, against.sentence, told)
            return "differs"
        if reported.amount != refund.amount:
            _flag_amount(refund, reported)
            return "differs"
        if (status, reported.state) in _AGREEING:
            self.confirmed.add(refund.pk)
            return "unchanged"
        if is_ours and (status == Status.UNKNOWN or (status, reported.state) in _NEXT):
            apply_reported(refund.pk, reported)
        elif (status, reported.state) in _NEXT:
            _follow_outside(refund, reported)
        else:
            return self._differ(refund, reported)
        self.confirmed.add(refund.pk)
        return "changed"

    def _doubt_named(self, reported: ReportedRefund) -> None:
        """What was placed on another payment by its looks may be ours of the one it names now."""
        if reported.state == RefundState.FAILED or keeps_references(self.account):
            return
        ours = Refund.objects.exclude(origin=Origin.EXTERNAL).filter(
            account=self.account,
            transaction__external_id=reported.payment_id,
            amount_minor=reported.amount.minor,
        )
        if refund := ours.first():
            doubt_listed(refund, reported.external_id)

    def _differ(self, refund: Refund, reported: ReportedRefund) -> Outcome:
        """The processor says that money moves where we have it as ended. Its lists may lag."""
        if refund.origin == Origin.EXTERNAL:
            _doubt_again(refund)
            if not reported.payment_id:  # it may be of another payment all the same
                doubt_all_like(self.account, reported)
        lag = self.gateway.capabilities.lookup_lag
        if refund.finished_at is None or refund.finished_at > timezone.now() - lag:
            return "unchanged"
        theirs = STATUS_OF[reported.state]
        sentence = _("It counts as “%(ours)s” here, and the processor reports it as “%(theirs)s”.")
        values = {"ours": refund.get_status_display(), "theirs": theirs.label}
        evidence = {"reported_state": reported.state.value}
        flag_once(refund, AttentionKind.PAID_AFTER_ALL, sentence % values, evidence)
        return "differs"

    def _counts_as(self, reported: ReportedRefund) -> UUID | None:
        """The key of ours that a refund without an id is, told by how many there are of its amount.

        A page holds the whole history of a payment, so the rows that are known by the ids given to
        them are somebody else's, and of the rest as many are ours as we had made by then.
        """
        ends = [Status.FAILED] if reported.state == RefundState.FAILED else MADE
        ours = Refund.objects.exclude(Q(origin=Origin.EXTERNAL) | TAKEN_BACK).filter(
            account=self.account,
            transaction__external_id=reported.payment_id,
            amount_minor=reported.amount.minor,
            status__in=ends,
            attempts__isnull=False,
        )
        left = ours.annotate(left=Coalesce(Min("attempts__first_sent_at"), "created_at"))
        alike = [
            each
            for each in self.reported
            if (each.payment_id, each.amount, each.state)
            == (reported.payment_id, reported.amount, reported.state)
            and each.external_id not in self.refunds
        ]
        moments = left.order_by("left", "pk").values_list("left", "pk")
        return told_by_time(alike, moments).get(reported.external_id)

    def _payment_of(self, reported: ReportedRefund) -> int | None:
        """Key of the transaction; None while the report may be of a refund that is under way."""
        if not reported.payment_id:
            return find_payment(self.account, reported)
        if reported.payment_id not in self.payments:
            payment_id = read_payment(self.account, self.gateway, reported)
            self.payments[reported.payment_id] = payment_id
        return self.payments[reported.payment_id]


def _doubt_again(refund: Refund) -> None:
    """What was made elsewhere and has ended is listed as made: it may be ours after all."""
    if not keeps_references(refund.account):
        doubt_listed(refund, refund.processor_refund_id or "")


def flag_once(
    refund: Refund, kind: AttentionKind, sentence: str, evidence: Mapping[str, str]
) -> None:
    """Put a refund before a person, unless one has closed a case with the same evidence."""
    closed = Attention.objects.filter(
        refund=refund, kind=kind, closed_by__isnull=False, evidence=dict(evidence)
    )
    if not closed.exists():
        with database.atomic():
            flag(lock_refund(refund.pk), kind, sentence, evidence)


def _flag_amount(refund: Refund, reported: ReportedRefund) -> None:
    sentence = _("The processor reports %(theirs)s where %(ours)s was asked for.")
    values = {"theirs": reported.amount, "ours": refund.amount}
    flag_once(refund, AttentionKind.AMOUNT_DIFFERS, sentence % values, evidence_of(reported))


def _has_ended_with(attempt: RefundAttempt, reported: ReportedRefund) -> bool:
    """Whether the attempt's refund came to its end with this attempt, and not with a later one.

    One that people ruled out for its amount ended without the other amount that was made.
    """
    refund = attempt.refund
    is_last = refund.status == Status.FAILED and attempt.number == refund.attempts.count()
    return is_last and (attempt.state != AttemptState.RULED_OUT or reported.amount == refund.amount)


def _made_after_all(attempt: RefundAttempt) -> Case:
    sentence = _("Attempt %s counted as not made, and the processor reports it as made.")
    sentence %= attempt.reference
    return Case(AttentionKind.PAID_AFTER_ALL, sentence, made=attempt.refund)


def _double(attempt: RefundAttempt, reported: ReportedRefund) -> Case:
    sentence = _(
        "The processor has refunds %(first)s and %(second)s under our reference %(reference)s. "
        "Money may have left twice."
    )
    values = {
        "first": attempt.refund.processor_refund_id,
        "second": reported.external_id,
        "reference": attempt.reference,
    }
    return Case(AttentionKind.FOUND_SEVERAL, sentence % values)


def _tell_called_off(attempt: RefundAttempt, reported: ReportedRefund) -> None:
    """Say that what was listed as made, and had no row yet, has failed: what was called off for it
    is owed again.
    """
    called_off = Refund.objects.filter(
        transaction=attempt.refund.transaction_id, status=Status.CANCELED,
        events__kind="made_before", events__data__refund=reported.external_id,
    ).exclude(events__kind="came_back")  # fmt: skip
    for refund_id in called_off.values_list("pk", flat=True):
        with database.atomic():
            locked = lock_refund(refund_id)
            if locked.events.filter(kind="came_back").exists():
                continue
            sentence = _(
                "It was not sent because the processor had made %s, which has failed since. Try it "
                "again if the customer is still owed the money."
            ) % clean(reported.external_id, 100)
            close_cases(locked, {K.PAID_AFTER_ALL}, sentence)
            record_event(locked, "came_back", data={"why": sentence})
            flag(locked, K.RETURNED, sentence)


def _follow_outside(refund: Refund, reported: ReportedRefund) -> None:
    with database.atomic():
        locked = lock_refund(refund.pk)
        status = Status(locked.status)
        step = _NEXT.get((status, reported.state))
        if step is None:
            return
        to, kind = step
        ours = getattr(locked, "counts_for", None)
        if to != Status.SUCCEEDED:
            _end_outside(locked, to, reported, ours)
            return
        sentence = ""
        if status == Status.FAILED:
            sentence = _("It had failed, and the processor reports that it succeeded after all.")
            sentence = told_after_all(sentence, ours) if ours else sentence
            _doubt_again(locked)  # before any event is written
        move(locked, to, kind, changes=failure_fields(reported))
        if sentence and ours:
            record_event(ours, "made_after_all", data={"why": sentence})
        if sentence and not locked.cases.exists():  # none was raised of a failure
            flag_outside(locked.account, locked, reported, None)
        if sentence:
            flag(locked, K.PAID_AFTER_ALL, sentence)


def _end_outside(locked: Refund, to: Status, reported: ReportedRefund, ours: Refund | None) -> None:
    """What was made elsewhere failed or came back: whatever it counted as is owed again."""
    called_off, sentence = [], ""
    if ours:
        called_off = list(_called_off_for(ours))  # before any event is written
        sentence = _(
            "It counted as the refund that was asked for here on %s, and has failed or come back "
            "since. If the customer did not get the money otherwise, try that one again, or ask "
            "for a new refund."
        ) % day_in_words(ours.created_at)
    if to == Status.RETURNED:
        mark_returned(locked, failure_fields(reported), sentence)
    else:
        move(locked, to, "refused", changes=failure_fields(reported))
        if sentence:
            flag(locked, K.RETURNED, sentence)
    for each in called_off:
        if is_owed_again(each):
            close_cases(each, {K.PAID_AFTER_ALL}, _("What it was called off for has failed since."))


def _called_off_for(ours: Refund) -> QuerySet[Refund]:
    """Refunds of the same payment and amount that were called off because ours was made; locked."""
    alike = Refund.objects.filter(
        transaction=ours.transaction_id, amount_minor=ours.amount_minor, status=Status.CANCELED
    )
    open_cases = Attention.objects.open().filter(kind=K.PAID_AFTER_ALL)
    return alike.filter(pk__in=open_cases.values("refund")).select_for_update()
