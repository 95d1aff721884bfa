"""The rows of refunds and voids that were made elsewhere, and the case that each one makes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from django.db import transaction as database
from django.utils.translation import gettext as _

from gateways.base import Operation, RefundState, ReportedRefund
from gateways.models import ProcessorAccount
from transactions.models import Transaction
from transactions.text import clean

from .attention import flag
from .balance import change_sums
from .clock import day_in_words, in_words
from .doubts import doubt_listed
from .found import PAID_BESIDES, all_like, count_for, is_paid_besides, may_be, told_after_all
from .history import record_event
from .models import Attention, AttentionKind, Refund
from .orders import is_reference
from .placing import (
    awaited_by,
    doubt_all_like,
    doubt_unless_referenced,
    is_history,
    subject_of,
)
from .states import Origin, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import User

STATUS_OF = {
    RefundState.PENDING: Status.PENDING,
    RefundState.SUCCEEDED: Status.SUCCEEDED,
    RefundState.FAILED: Status.FAILED,
}
# A refund of ours in one of these was made at its processor.
MADE = (Status.PENDING, Status.SUCCEEDED, Status.RETURNED)
# How many refunds of ours a case names that it may be.
_NAMED = 2


@dataclass(frozen=True, slots=True)
class Case:
    """What is wrong with a refund that bears a reference of ours, and counts as made elsewhere.

    ``made`` is the refund of ours that it is, which counted as not made.
    """

    kind: AttentionKind
    sentence: str
    made: Refund | None = None


def record_external(
    account: ProcessorAccount, payment_id: int, reported: ReportedRefund, case: Case | None
) -> Literal["new", "unchanged", "awaited"]:
    """Write a refund down that was made elsewhere, with the ``case`` it makes, or its usual one."""
    status = STATUS_OF[reported.state]
    if not reported.payment_id:  # it may be of another payment all the same
        doubt_all_like(account, reported)  # before its row: what has one is not new any more
    with database.atomic():
        payment = Transaction.objects.select_for_update().get(pk=payment_id)
        _check_currency(payment, reported)
        refunds = Refund.objects.filter(account=account)
        if refunds.filter(processor_refund_id=reported.external_id).exists():
            return "unchanged"
        awaited = awaited_by(account, reported).filter(transaction=payment).first()
        if awaited and not case:
            doubt_unless_referenced(awaited, reported)
            return "awaited"
        # Locked before its row: whoever says that it is ours does so as well.
        unplaced = Attention.objects.open().filter(
            kind=AttentionKind.UNPLACED, subject=subject_of(account, reported.external_id)
        )
        list(unplaced.select_for_update())
        refund = _new_row(payment, reported, status)
        refund.save(force_insert=True)
        if not case and status != Status.FAILED and all_like(refund):
            doubt_listed(refund, reported.external_id)  # before any event is written
        if case and case.made and status != Status.FAILED:
            made, case = case.made, replace(case, sentence=told_after_all(case.sentence, case.made))
            count_for(refund, made, case.sentence)
        record_event(refund, "recorded_outside", to_status=status, data=_facts(reported))
        if status != Status.FAILED:
            flag_outside(account, refund, reported, case)
            pending = status == Status.PENDING
            minor = refund.amount_minor
            change_sums(refund, reserved=pending * minor, refunded=(not pending) * minor)
        unplaced.close(_("Its payment was found."))
    return "new"


def record_as_ours(ours: Refund, reported: ReportedRefund, why: str, actor: User) -> Refund:
    """Write a refund down that fits no payment alone, and is one of ours that counted as not made.

    Ours is locked. The row of what was made, which counts from now on.
    """
    row = _new_row(ours.transaction, reported, Status.SUCCEEDED)
    row.save(force_insert=True)
    count_for(row, ours, why, actor)
    record_event(row, "recorded_outside", to_status=row.status, data=_facts(reported))
    change_sums(row, reserved=0, refunded=row.amount_minor)
    return row


def flag_outside(
    account: ProcessorAccount, refund: Refund, reported: ReportedRefund, case: Case | None
) -> None:
    """Put what was made elsewhere before a person, and ask whether it is ours where it may be."""
    if case:
        flag(refund, case.kind, case.sentence)
    elif not is_history(account, reported):
        is_referenced = is_reference(reported.reference)
        ours = None if is_referenced else next(iter(all_like(refund)), None)
        ours = ours and (may_be(refund) or ours)
        if ours:
            _flag_alike(refund, reported, ours)
        else:
            flag(refund, AttentionKind.MADE_OUTSIDE, _who_made(reported))


def _flag_alike(refund: Refund, reported: ReportedRefund, ours: Refund) -> None:
    """Ask people about what may be a refund of ours. A case has room for 300 characters."""
    others = [each for each in all_like(refund) if each != ours]
    asked = [in_words(each.created_at) for each in [ours, *others][:_NAMED]]
    values = {
        "amount": reported.amount,
        "day": day_in_words(reported.created_at),
        "asked": _(" or ").join(asked),
    }
    # Of two that are listed only one names it, so that "ours" is said once.
    evidence = {"may_be": str(ours.pk)} if ours == may_be(refund) else {}
    if is_paid_besides(ours):
        evidence[PAID_BESIDES] = "yes"
        sentence = _(
            "%(amount)s were refunded outside Refund Desk on %(day)s. It may be what was asked for "
            "here on %(asked)s and counts as not made, though as much went back besides: it may "
            "have gone back twice. Say that it is ours, or accept it as another."
        )
    else:
        sentence = _(
            "%(amount)s were refunded outside Refund Desk on %(day)s. It may be what was asked for "
            "here on %(asked)s and counts as not made. Say that it is ours, or accept it only if "
            "it is another refund."
        )
    flag(refund, AttentionKind.MADE_OUTSIDE, sentence % values, evidence)


def _who_made(reported: ReportedRefund) -> str:
    if is_reference(reported.reference):
        sentence = _(
            "%(amount)s went back on %(day)s under a reference of Refund Desk that it has no "
            "record of, as after a restore of its database. Find out who asked for it."
        )
    elif reported.operation is Operation.VOID:
        sentence = _(
            "The payment of %(amount)s was cancelled outside Refund Desk on %(day)s; accept it or "
            "find out who did it."
        )
    else:
        sentence = _(
            "%(amount)s were refunded outside Refund Desk on %(day)s; accept it or find out who "
            "did it."
        )
    return sentence % {"amount": reported.amount, "day": day_in_words(reported.created_at)}


def _check_currency(payment: Transaction, reported: ReportedRefund) -> None:
    if reported.amount.currency != payment.currency:
        raise ValueError(
            _("Refund %(refund)s is in %(theirs)s, and its payment in %(ours)s.")
            % {
                "refund": reported.external_id,
                "theirs": reported.amount.currency,
                "ours": payment.currency,
            }
        )


def _new_row(payment: Transaction, reported: ReportedRefund, status: Status) -> Refund:
    canonical = json.dumps(_facts(reported), sort_keys=True)
    return Refund(
        transaction=payment,
        account_id=payment.account_id,
        mode=payment.mode,
        currency=payment.currency,
        amount_minor=reported.amount.minor,
        operation=reported.operation.value,
        origin=Origin.EXTERNAL,
        status=status,
        idem_scope=f"external:{payment.account_id}",
        idem_key=reported.external_id,
        request_hash=hashlib.sha256(canonical.encode()).digest(),
        processor_refund_id=reported.external_id,
        created_at=reported.created_at,
        finished_at=None if status == Status.PENDING else reported.created_at,
        **failure_fields(reported),
    )


def _facts(reported: ReportedRefund) -> dict[str, str | int]:
    return {
        "refund": reported.external_id,
        "payment": reported.payment_id,
        "amount_minor": reported.amount.minor,
        "currency": reported.amount.currency,
        "operation": reported.operation.value,
        "reference": clean(reported.reference, 100),
        "created_at": reported.created_at.isoformat(),
    }


def failure_fields(reported: ReportedRefund) -> dict[str, Any]:
    failure = reported.failure if reported.state == RefundState.FAILED else None
    if failure is None:
        return {"failure_code": "", "failure_processor_code": "", "failure_message": ""}
    return {
        "failure_code": failure.code.value,
        "failure_processor_code": clean(failure.processor_code, 100),
        "failure_message": clean(failure.message, 1000),
    }
