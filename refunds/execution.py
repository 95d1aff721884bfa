"""What a worker does with a queued refund: read the payment again, judge, and send.

Whether it may go, whether it went before, and how it goes is decided at the last moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction as database
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from gateways.base import (
    FailureCode,
    Operation,
    PaymentGateway,
    RefundResult,
    ReportedRefund,
)
from gateways.errors import GatewayError, Misconfigured, NotSent
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from transactions.sync import refresh_payment
from transactions.text import clean

from . import decision
from .attention import flag, flag_anew
from .circuits import down_accounts, is_closed, slot
from .delivery import claim, deliver, record
from .doubts import raise_doubts, reopen, standing_doubts
from .earlier import look_back
from .found import is_counted, made_already
from .models import AttentionKind, Refund, RefundAttempt
from .recording import evidence_of, fail_unsent, pause_account, record_answer
from .rules import ask_again, why_ask_again
from .states import AttemptState, Status
from .transitions import lock_refund, move
from .turns import a_moment, is_silence, listening, put_off, take_up

# When to look again for what may have been sent before.
_LOOK_AGAIN = timedelta(minutes=5)
# A person hears of it when the processor does not show everything for so long.
_PATIENCE = timedelta(hours=1)


def send_refund(refund_id: UUID) -> None:
    """Do what is due for a queued refund. Safe to call at any time, any number of times."""
    refund = take_up(refund_id, Status.QUEUED)
    if refund is None or not _may_go(refund):
        return
    with slot(refund.account_id, "submit") as is_free:
        if is_free and is_closed(refund.account_id):
            _send(refund)
        else:
            put_off(refund, a_moment())


def _send(refund: Refund) -> None:
    """Find out how things stand at the processor, and act on it."""
    try:
        with listening(refund.account_id):
            gateway = open_gateway(refund.account)
            refresh_payment(refund.transaction, gateway)
            with gateway.transport.one_deadline():
                earlier = look_back(refund, gateway)
    except GatewayError as error:
        if is_silence(error) and refund.account_id in down_accounts():
            put_off(refund, a_moment())  # it probed whether the processor answers again
        else:
            _record_unsent(refund, error)
        return
    if earlier.made:
        _adopt(refund, earlier.made)
    elif earlier.twin:
        _stand_back(refund, earlier.twin)
    elif earlier.alike:
        _ask_a_person(refund, earlier.alike)
    elif _covers_too_little(refund, earlier.others):
        _wait_until_counted(refund, earlier.others)
    elif not earlier.is_complete:
        _wait_until_shown(refund)
    else:
        _send_unless_blocked(refund, gateway)


def _send_unless_blocked(refund: Refund, gateway: PaymentGateway) -> None:
    if found := decision.blocked_now(refund.transaction):
        _refuse(refund, found)
        return
    planned = decision.plan(refund.transaction, refund.amount)
    if planned.waits:
        put_off(refund, decision.SETTLEMENT_CHECK, "waits_for_settlement", planned.sentence)
        return
    if not _may_go(refund):  # reading all this took its time
        return
    if refund.look_up_first:  # everything was seen
        refund.look_up_first = False
        refund.save(update_fields=["look_up_first"])
    claiming = time.monotonic()
    if attempt := claim(refund, planned.operation):
        deliver(attempt, gateway, claiming)


def _adopt(refund: Refund, made: ReportedRefund) -> None:
    """Take a refund that an earlier attempt made for ours, instead of sending again."""
    if is_counted(refund, made):
        _stand_back(refund, made)
        return
    sentence = _after_all(made)
    attempt = None
    if made.amount != refund.amount:
        put_off(refund, timedelta(hours=1), "waits_for_a_person", sentence)
    elif attempt := claim(refund, made.operation, to_send=False):
        record(attempt, RefundResult(made.state, made.external_id, made.amount))
        sentence = _("%s Nothing was sent again: it counts once.") % sentence
    else:
        return  # another worker is at it
    with database.atomic():
        locked = lock_refund(refund.pk)
        if attempt:
            accepted = RefundAttempt.objects.filter(pk=attempt.pk, state=AttemptState.ACCEPTED)
            accepted.update(processor_message=sentence)
        flag(locked, AttentionKind.PAID_AFTER_ALL, sentence, evidence_of(made))


def _covers_too_little(refund: Refund, uncounted: Sequence[ReportedRefund]) -> bool:
    """Whether the payment would not cover the refund, were what went back counted as well."""
    left: int = refund.transaction.refundable_minor
    return left < sum(each.amount.minor for each in uncounted)


def _wait_until_counted(refund: Refund, uncounted: Sequence[ReportedRefund]) -> None:
    """Leave a refund where it is, for what went back and is no answer to what was asked for."""
    sentence = _(
        "The processor lists %(ids)s, which is not counted yet. With it, this refund would go "
        "beyond what was paid. It waits for the comparison with the processor; cancel it if it is "
        "not owed."
    )
    listed = ", ".join(f"{clean(each.external_id, 50)} ({each.amount})" for each in uncounted[:3])
    _put_before_a_person(refund, sentence % {"ids": listed}, "waits_until_counted")


def _wait_until_shown(refund: Refund) -> None:
    """Leave a refund where it is while what may have been sent before could be overlooked."""
    kind = "looks_up_first"
    before = Now() - _PATIENCE
    if not refund.events.filter(kind=kind, at__lte=before).exists():
        put_off(refund, _LOOK_AGAIN, kind, _("The processor did not show everything."))
        return
    sentence = _(
        "The processor does not show everything about payment %s, so nothing tells whether this "
        "refund was made before. It is looked up every few minutes and goes out once everything is "
        "shown. Cancel it if it is not owed, or was paid otherwise."
    )
    _put_before_a_person(refund, sentence % clean(refund.transaction.external_id, 50), kind)


def _ask_a_person(refund: Refund, listed: Sequence[str]) -> None:
    """Leave a refund where it is while something at the processor may be it: no machine can tell.

    Who accepts that as made elsewhere lets this one go.
    """
    if refund.look_up_first:
        sentence = _(
            "The processor lists a refund like this one without a reference: it may have been sent "
            "before the restore. Look whether it was. If so, cancel it; if not, let a second "
            "person let it go."
        )
    else:
        sentence = _(
            "The processor lists a refund like this one without a reference: it may be one that "
            "counted as not made. Look whether it is. If so, cancel this one; if not, let a second "
            "person let it go. Its own case, where it has one, asks the same."
        )
    raise_doubts(refund, listed)  # so that an answer finds them
    _put_before_a_person(refund, sentence, "waits_for_a_person", {"listed": sorted(listed)})


def _put_before_a_person(
    refund: Refund, sentence: str, kind: str, evidence: Mapping[str, Any] | None = None
) -> None:
    put_off(refund, _LOOK_AGAIN, kind, sentence)
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status == Status.QUEUED:
            flag_anew(locked, AttentionKind.NOT_SENT, sentence, evidence)


def _after_all(made: ReportedRefund) -> str:
    sentence = _("Attempt %(attempt)s counted as not made, and the processor made it as %(id)s.")
    return sentence % {"attempt": made.reference, "id": clean(made.external_id, 100)}


def _stand_back(refund: Refund, made: ReportedRefund) -> None:
    """Cancel a refund whose money has gone back under another identity, which counts elsewhere."""
    why = _after_all(made)
    _call_off(refund, "made_before", AttentionKind.PAID_AFTER_ALL, why, evidence_of(made))


def _call_off(
    refund: Refund,
    kind: str,
    case: AttentionKind,
    why: str,
    evidence: Mapping[str, str] | None = None,
) -> None:
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status == Status.QUEUED:
            if kind == "authority_lost":
                reopen(locked)
            move(locked, Status.CANCELED, kind, data={"why": why} | dict(evidence or {}))
            flag(locked, case, why, evidence)


def stopped(refund: Refund) -> str:
    """Why nothing of a refund may leave now as far as its account goes, or empty."""
    return ProcessorAccount.objects.get(pk=refund.account_id).stopped_reason


def has_authority(refund: Refund) -> bool:
    """Whether who requested a refund may still refund, and who approved it still approve."""
    rights = {refund.requested_by_id: "refunds.request_refund"}
    if refund.approved_by_id:
        rights[refund.approved_by_id] = "refunds.approve_refund"
    people = User.objects.in_bulk(rights.keys() - {None})  # anew: a person keeps rights once read
    return rights.keys() == people.keys() and all(
        people[pk].is_active and people[pk].has_perm(right, refund) for pk, right in rights.items()
    )


def _may_go(refund: Refund) -> bool:
    """Whether it still may and has to leave, as far as our own rows tell."""
    if why := stopped(refund):
        put_off(refund, timedelta(minutes=1), "account_paused", why)
        return False
    if made_already(refund):
        why = _(
            "A refund of this amount that counted as not made was made after all, so this one was "
            "not sent. If more is owed, ask for a new refund."
        )
        _call_off(refund, "made_before", AttentionKind.PAID_AFTER_ALL, why)
        return False
    if not has_authority(refund):
        sentence = _("Who requested or approved this refund no longer may, so it was not sent.")
        _call_off(refund, "authority_lost", AttentionKind.NOT_SENT, sentence)
        return False
    if reasons := why_ask_again(refund):
        ask_again(refund, reasons)
        return False
    return True


def _record_unsent(refund: Refund, error: GatewayError) -> None:
    """Nothing of the refund left, because the payment could not even be read."""
    if doubts := standing_doubts(refund):  # a person decides, and no number of tries
        if isinstance(error, NotSent) and error.reason == "credentials":
            pause_account(refund, str(error))
        _ask_a_person(refund, doubts)
        return
    attempt = claim(refund, Operation(refund.operation))
    if attempt is None:
        return
    if isinstance(error, NotSent):
        answer = error
    else:
        reason = "refused_locally" if isinstance(error, Misconfigured) else "unreachable"
        answer = NotSent(str(error), reason=reason, exchanges=error.exchanges)
    record_answer(attempt, attempt.fence, answer)


def _refuse(refund: Refund, found: decision.Blocked) -> None:
    """The payment changed since the request, and can no longer be refunded."""
    attempt = claim(refund, Operation(refund.operation), to_send=False)
    if attempt is None:
        return
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status == Status.SENDING and locked.fence == attempt.fence:
            held = RefundAttempt.objects.select_for_update().get(pk=attempt.pk)
            fail_unsent(locked, held, FailureCode(found.code), found.sentence)
            held.save()
