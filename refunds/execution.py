"""What a worker does with a queued refund: read the payment again, judge, and send.

Whether it may go, whether it went before, and how it goes is decided at the last moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.db import transaction as database
from django.utils.translation import gettext as _

from gateways.base import (
    FailureCode,
    Lookup,
    Operation,
    PaymentGateway,
    RefundResult,
    RefundState,
    ReportedRefund,
)
from gateways.errors import GatewayError, Misconfigured, NotSent
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from transactions.sync import refresh_payment
from transactions.text import clean

from . import decision
from .attention import flag
from .circuits import down_accounts, is_closed, slot
from .delivery import claim, deliver
from .models import AttentionKind, Refund, RefundAttempt
from .orders import load_order, possible_orders
from .recording import evidence_of, fail_unsent, record_answer
from .states import AttemptState, Status
from .transitions import lock_refund, move
from .turns import a_moment, is_silence, listening, put_off, take_up

# When to look again for what may have been sent before a restore.
_LOOK_AGAIN = timedelta(minutes=5)


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


def look_everywhere(refund: Refund, gateway: PaymentGateway) -> Lookup:
    """Look for every attempt that a refund has or may have had: after a restore rows are missing.

    Raises NotSent or OutcomeUnknown.
    """
    orders = possible_orders(refund, voids=gateway.capabilities.voids_unsettled)
    lookups = [gateway.find_refund(order) for order in orders]
    return Lookup(
        matches=tuple({each.external_id: each for one in lookups for each in one.matches}.values()),
        complete=all(one.complete for one in lookups),
        exchanges=tuple(each for one in lookups for each in one.exchanges),
        likely=tuple({each.external_id: each for one in lookups for each in one.likely}.values()),
    )


def _send(refund: Refund) -> None:
    """Find out how things stand at the processor, and act on it."""
    try:
        with listening(refund.account_id):
            gateway = open_gateway(refund.account)
            refresh_payment(refund.transaction, gateway)
            with gateway.transport.one_deadline():
                made = _made_before(refund, gateway)
                twin = None if made else _made_for_another(refund, gateway)
    except GatewayError as error:
        if is_silence(error) and refund.account_id in down_accounts():
            put_off(refund, a_moment())  # it probed whether the processor answers again
        else:
            _record_unsent(refund, error)
        return
    if made:
        _adopt(refund, made)
    elif twin:
        _stand_back(refund, twin)
    elif refund.look_up_first:
        put_off(refund, _LOOK_AGAIN, "looks_up_first", _("The processor did not show everything."))
    else:
        _send_unless_blocked(refund, gateway)


def _send_unless_blocked(refund: Refund, gateway: PaymentGateway) -> None:
    found = decision.blocked(refund.transaction)
    if found and found.code != "exceeds_refundable":  # its own money is reserved, of course
        _refuse(refund, found)
        return
    planned = decision.plan(refund.transaction, refund.amount)
    if planned.waits:
        put_off(refund, decision.SETTLEMENT_CHECK, "waits_for_settlement", planned.sentence)
        return
    claiming = time.monotonic()
    if attempt := claim(refund, planned.operation):
        deliver(attempt, gateway, claiming)


def _made_before(refund: Refund, gateway: PaymentGateway) -> ReportedRefund | None:
    """What an earlier attempt made all the same, though its answer said that nothing was done.

    Processors promise that of a 401 or 429; another identity is used only after a look. After a
    restore the look goes further, and is needed until it once saw everything.
    """
    if refund.look_up_first:
        lookup = look_everywhere(refund, gateway)
        matches = list(lookup.matches)
        if lookup.likely and not matches:
            _ask_a_person(refund)
        elif lookup.complete and all(found.state == RefundState.FAILED for found in matches):
            refund.look_up_first = False
            refund.save(update_fields=["look_up_first"])
    else:
        sent = refund.attempts.filter(sends__gt=0)
        matches = [
            found for each in sent for found in gateway.find_refund(load_order(each)).matches
        ]
    return next((found for found in matches if found.state != RefundState.FAILED), None)


def _made_for_another(refund: Refund, gateway: PaymentGateway) -> ReportedRefund | None:
    """What was made of an earlier refund of the payment, though two people had ruled it out.

    The money that this one would send may have gone back already. A sync will count it.
    """
    ruled_out = RefundAttempt.objects.filter(
        refund__transaction_id=refund.transaction_id, state=AttemptState.RULED_OUT, sends__gt=0
    ).exclude(refund=refund)
    for attempt in ruled_out:
        for found in gateway.find_refund(load_order(attempt)).matches:
            if found.state != RefundState.FAILED and not _is_counted(refund, found):
                return found
    return None


def _adopt(refund: Refund, made: ReportedRefund) -> None:
    """Take a refund that an earlier attempt made for ours, instead of sending again."""
    if _is_counted(refund, made):
        _stand_back(refund, made)
        return
    sentence = _after_all(made)
    if made.amount != refund.amount:
        put_off(refund, timedelta(hours=1), "waits_for_a_person", sentence)
    elif attempt := claim(refund, made.operation):
        answer = RefundResult(made.state, made.external_id, made.amount)
        record_answer(attempt, attempt.fence, answer)
        sentence = _("%s Nothing was sent again: it counts once.") % sentence
    with database.atomic():
        locked = lock_refund(refund.pk)
        accepted = locked.attempts.filter(state=AttemptState.ACCEPTED, sends=0)
        accepted.update(processor_message=sentence)
        flag(locked, AttentionKind.PAID_AFTER_ALL, sentence, evidence_of(made))


def _ask_a_person(refund: Refund) -> None:
    sentence = _(
        "The processor lists a refund like this one without a reference: it may have been sent "
        "before the restore. Cancel it if it was; if not, cancel it and ask for it anew."
    )
    with database.atomic():
        flag(lock_refund(refund.pk), AttentionKind.NOT_SENT, sentence)


def _after_all(made: ReportedRefund) -> str:
    sentence = _("Attempt %(attempt)s counted as not made, and the processor made it as %(id)s.")
    return sentence % {"attempt": made.reference, "id": clean(made.external_id, 100)}


def _is_counted(refund: Refund, made: ReportedRefund) -> bool:
    """Whether a sync has recorded it meanwhile in a row of its own: ours would be a second one."""
    rows = Refund.objects.filter(account_id=refund.account_id, mode=refund.mode)
    return rows.filter(processor_refund_id=made.external_id).exclude(pk=refund.pk).exists()


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
            move(locked, Status.CANCELED, kind, data={"why": why})
            flag(locked, case, why, evidence)


def stopped(refund: Refund) -> str:
    """Why nothing of a refund may leave now as far as its account goes, or empty."""
    account = ProcessorAccount.objects.get(pk=refund.account_id)
    if account.is_active:
        return account.stopped_reason
    return _("The account is switched off.")


def has_authority(refund: Refund) -> bool:
    """Whether who requested a refund may still refund, and who approved it still approve."""
    people = [(refund.requested_by, "refunds.request_refund")]
    if refund.approved_by:
        people.append((refund.approved_by, "refunds.approve_refund"))
    return all(one and one.is_active and one.has_perm(right) for one, right in people)


def _may_go(refund: Refund) -> bool:
    """Whether authority holds at the moment of sending, and the account is not stopped."""
    if why := stopped(refund):
        put_off(refund, timedelta(minutes=1), "account_paused", why)
        return False
    if has_authority(refund):
        return True
    sentence = _("Who requested or approved this refund no longer may, so it was not sent.")
    _call_off(refund, "authority_lost", AttentionKind.NOT_SENT, sentence)
    return False


def _record_unsent(refund: Refund, error: GatewayError) -> None:
    """Nothing of the refund left, because the payment could not even be read."""
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
    attempt = claim(refund, Operation(refund.operation))
    if attempt is None:
        return
    codes = {"disputed": FailureCode.DISPUTED, "too_old": FailureCode.TOO_OLD}
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status == Status.SENDING and locked.fence == attempt.fence:
            held = RefundAttempt.objects.select_for_update().get(pk=attempt.pk)
            code = codes.get(found.code, FailureCode.NOT_REFUNDABLE)
            fail_unsent(locked, held, code, found.sentence)
            held.save()
