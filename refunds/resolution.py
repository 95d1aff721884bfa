"""What follows a send: look-ups of what is not proven, and what the processor reports at any time.

Where there are keys, an unknown outcome is looked up and then sent again, byte for byte, while its
key is good. Where there are none nothing is ever sent again by itself: two people rule about it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction as database
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from gateways.base import (
    Capabilities,
    Lookup,
    Operation,
    PaymentGateway,
    RefundResult,
    RefundState,
    ReportedRefund,
)
from gateways.errors import GatewayError
from gateways.registry import open_gateway

from .attention import flag
from .circuits import down_accounts, is_in_doubt, slot
from .clock import database_now
from .delivery import deliver
from .earlier import look_everywhere, look_for
from .execution import has_authority, stopped
from .found import made_already, told_after_all
from .models import MAX_ATTEMPTS, Attention, AttentionKind, Refund, RefundAttempt
from .orders import load_order
from .recording import (
    another_payment,
    apply_result,
    capabilities_of,
    contradiction,
    failure_fields,
    keep_exchanges,
    live_attempt,
)
from .schedule import absence_speaks_from, first_question, may_resend, next_question
from .states import AttemptState, Status
from .transitions import lock_refund, move
from .turns import LEASE, a_moment, is_silence, lease_owner, listening, put_off, take_up

# A look-up that only finds out whether a silent processor is back waits no longer for it, so that
# the next one comes soon.
_PROBE_SECONDS = 10


def look_up_refund(refund_id: UUID) -> None:
    """Ask the processor what became of an unknown or pending refund; write down what is proven."""
    refund = take_up(refund_id, Status.UNKNOWN, Status.PENDING)
    if refund is None:
        return
    attempt = live_attempt(refund)
    if attempt is None:  # made elsewhere: lists tell what becomes of it
        put_off(refund, None)
        return
    with slot(refund.account_id, "lookup") as is_free:
        if is_free:
            _look_up(refund, attempt)
        else:
            put_off(refund, a_moment())


def apply_reported(
    refund_id: UUID, reported: ReportedRefund, lookup: Lookup | None = None
) -> Refund:
    """Move a refund of ours by what its processor reports now. Repeating it changes nothing."""
    with database.atomic():
        refund = lock_refund(refund_id)
        attempt = refund.attempts.select_for_update().order_by("-number").first()
        if attempt is None:
            return refund
        if lookup:
            keep_exchanges(attempt, lookup.exchanges)
        against = another_payment(refund, reported) or contradiction(
            refund, reported.amount, reported.external_id
        )
        if against:
            flag(refund, against.kind, against.sentence, {"found": _shown([reported])})
            _plan_next(refund, attempt)
        elif _is_an_earlier_refusal(refund, attempt, reported):
            _plan_next(refund, attempt)
        else:
            _follow(refund, attempt, reported)
        attempt.save()
    return refund


def _is_an_earlier_refusal(
    refund: Refund, attempt: RefundAttempt, reported: ReportedRefund
) -> bool:
    """Whether it is an attempt before this one that was refused: of this one that proves nothing.

    What an earlier one made and this one took over goes by its id.
    """
    if reported.state != RefundState.FAILED or refund.processor_refund_id:
        return False
    earlier = refund.attempts.filter(number__lt=attempt.number, reference=reported.reference)
    return earlier.exists()


def mark_returned(
    refund: Refund, changes: Mapping[str, Any] | None = None, sentence: str = ""
) -> None:
    """Give the money of a locked refund that had succeeded back to the balance, and tell people."""
    move(refund, Status.RETURNED, "returned", changes=changes)
    usual = _("The refund had succeeded, and the money came back.")
    flag(refund, AttentionKind.RETURNED, sentence or usual)


def _look_up(refund: Refund, attempt: RefundAttempt) -> None:
    asked_at = database_now()
    seconds = _PROBE_SECONDS if is_in_doubt(refund.account_id) else math.inf
    try:
        gateway = open_gateway(refund.account)
        with listening(refund.account_id), gateway.transport.one_deadline(seconds=seconds):
            if refund.look_up_first:
                lookup = look_everywhere(refund, gateway)
            else:
                known = refund.processor_refund_id or ""
                lookup = look_for(refund, load_order(attempt, refund_id=known), gateway)
    except GatewayError as error:
        lookup = Lookup((), complete=False, exchanges=error.exchanges)
        # No answer at all is no question. The breaker's probes take over when it opens.
        at_once = is_silence(error) and refund.account_id not in down_accounts()
        _ask_again(refund, lookup, asked_at, at_once=at_once)
        return
    if len(lookup.matches) == 1:
        apply_reported(refund.pk, lookup.matches[0], lookup)
    elif lookup.matches or not _send_again(refund, attempt, gateway, lookup):
        _ask_again(refund, lookup, asked_at)


def _send_again(
    refund: Refund, attempt: RefundAttempt, gateway: PaymentGateway, lookup: Lookup
) -> bool:
    """Send what a look-up did not find again, where that is safe; whether anything was done.

    The row is judged once more under the lock: a worker may have slept since it looked.
    """
    claiming = time.monotonic()
    may_leave = not stopped(refund) and has_authority(refund)
    with database.atomic():
        locked = lock_refund(refund.pk)
        attempt = RefundAttempt.objects.select_for_update().get(pk=attempt.pk)
        if locked.status != Status.UNKNOWN or (locked.look_up_first and not lookup.complete):
            return False
        locked.look_up_first = False
        keep_exchanges(attempt, lookup.exchanges)
        # What never left goes back to the queue, where all is looked at anew before it leaves.
        left = attempt.sends > 0
        may_leave = left and may_leave and not made_already(locked)
        again = may_leave and _may_resend(locked, attempt, gateway.capabilities)
        if again:
            _claim_again(locked, attempt)
        elif not left and attempt.number < MAX_ATTEMPTS:
            _queue_again(locked, attempt)
        else:
            return False
    if again:
        deliver(attempt, gateway, claiming)
    return True


def _may_resend(refund: Refund, attempt: RefundAttempt, capabilities: Capabilities) -> bool:
    """Whether the same bytes may leave again now under a key that the processor still knows."""
    same_account = attempt.credential_fingerprint == refund.account.credential_fingerprint
    return same_account and may_resend(attempt, capabilities, database_now())


def _claim_again(refund: Refund, attempt: RefundAttempt) -> None:
    """Take a locked refund to send the same attempt, byte for byte, under a new lease."""
    move(
        refund,
        Status.SENDING,
        "sent_again",
        data={"attempt": attempt.number, "sends": attempt.sends + 1},
        changes={
            "fence": refund.fence + 1,
            "claims": refund.claims + 1,
            "lookups": refund.lookups + 1,
            "lease_owner": lease_owner(),
            "lease_until": Now() + LEASE,
        },
    )
    attempt.fence = refund.fence
    attempt.save(update_fields=["fence", "exchanges"])


def _queue_again(refund: Refund, attempt: RefundAttempt) -> None:
    """Its worker was lost before it counted a send, and lost the lease: nothing has left or will.

    Then another identity may leave, also where there are no keys.
    """
    attempt.state = AttemptState.RULED_OUT
    attempt.save(update_fields=["state", "exchanges"])
    # Looking it up came to its end, but the worker before this one did not.
    changes = {
        "next_action_at": database_now(),
        "unfinished": refund.unfinished,
        "unknown_since": None,
    }
    move(refund, Status.QUEUED, "not_sent", changes=changes)


def _ask_again(
    refund: Refund, lookup: Lookup, asked_at: datetime, *, at_once: bool = False
) -> None:
    """Keep what a question brought, and set the next."""
    with database.atomic():
        locked = lock_refund(refund.pk)
        attempt = live_attempt(locked)
        if locked.status not in {Status.UNKNOWN, Status.PENDING} or attempt is None:
            return
        keep_exchanges(attempt, lookup.exchanges)
        likely = _unexplained(locked, lookup)
        if lookup.complete and not lookup.matches and not likely:
            _note_absence(attempt, capabilities_of(locked), asked_at)
        attempt.save(update_fields=["exchanges", "first_absent_at", "last_absent_at"])
        _show_to_people(locked, lookup.matches, likely)
        _plan_next(locked, attempt, at_once=at_once)


def _note_absence(attempt: RefundAttempt, capabilities: Capabilities, asked_at: datetime) -> None:
    """Remember that the processor does not show an attempt, once that says something."""
    speaks = absence_speaks_from(attempt, capabilities)
    if attempt.state == AttemptState.AMBIGUOUS and speaks and asked_at >= speaks:
        attempt.first_absent_at = attempt.first_absent_at or asked_at
        attempt.last_absent_at = asked_at


def _unexplained(refund: Refund, lookup: Lookup) -> list[ReportedRefund]:
    """What looks like the refund at its processor, and is none that we know."""
    ids = [each.external_id for each in lookup.likely]
    others = Refund.objects.filter(account_id=refund.account_id, processor_refund_id__in=ids)
    known = set(others.values_list("processor_refund_id", flat=True))
    return [each for each in lookup.likely if each.external_id not in known]


def _show_to_people(
    refund: Refund, matches: Sequence[ReportedRefund], likely: Sequence[ReportedRefund]
) -> None:
    """Put what only a person can tell into a case of a locked refund."""
    if len(matches) > 1:
        sentence = _(
            "The processor reports several refunds for this one. Money may have left twice."
        )
        flag(refund, AttentionKind.FOUND_SEVERAL, sentence, {"found": _shown(matches)})
    if not likely:
        return
    evidence = {"likely": _shown(likely)}
    cases = Attention.objects.open().filter(refund=refund)
    case = cases.filter(kind=AttentionKind.UNKNOWN_OUTCOME).first()
    if case is None:
        sentence = _("The processor shows a refund of this amount that may be this one.")
        flag(refund, AttentionKind.UNKNOWN_OUTCOME, sentence, evidence)
    else:
        case.evidence |= evidence
        case.save(update_fields=["evidence"])


def _shown(reports: Sequence[ReportedRefund]) -> list[dict[str, str]]:
    return [
        {
            "id": each.external_id,
            "amount": str(each.amount),
            "created_at": each.created_at.isoformat(),
        }
        for each in reports
    ]


def _plan_next(refund: Refund, attempt: RefundAttempt, *, at_once: bool = False) -> None:
    """Count a question that brought nothing new, and set the next; ``at_once`` does not count it.

    What was set aside stays so.
    """
    if refund.status not in {Status.UNKNOWN, Status.PENDING}:
        return
    now, lookups = database_now(), refund.lookups + (not at_once)
    status, capabilities = Status(refund.status), capabilities_of(refund)
    due = next_question(status, lookups, attempt, capabilities, now)
    Refund.objects.filter(pk=refund.pk, next_action_at__isnull=False).update(
        lookups=lookups,
        next_action_at=first_question(now) if at_once else due,
        enqueued_at=None,
        unfinished=0,
    )


def _follow(refund: Refund, attempt: RefundAttempt, reported: ReportedRefund) -> None:
    result = RefundResult(
        state=reported.state,
        refund_id=reported.external_id,
        amount=reported.amount,
        failure=reported.failure,
    )
    status = Status(refund.status)
    if status in {Status.SENDING, Status.UNKNOWN, Status.PENDING}:
        if status == Status.PENDING and reported.state == RefundState.PENDING:
            _plan_next(refund, attempt)
        elif status != Status.SENDING:
            apply_result(refund, attempt, result)
    elif status == Status.SUCCEEDED and reported.state == RefundState.FAILED:
        mark_returned(refund, failure_fields(result) if reported.failure else None)
    elif status == Status.FAILED and reported.state == RefundState.SUCCEEDED:
        sentence = told_after_all(_made_after_all(reported), refund)
        apply_result(refund, attempt, result)
        flag(refund, AttentionKind.PAID_AFTER_ALL, sentence)


def _made_after_all(reported: ReportedRefund) -> str:
    if reported.operation is Operation.VOID:
        return _(
            "The void counted as failed, and the payment is cancelled at the processor: it counts "
            "as given back. If somebody cancelled it there, nothing more needs to be done."
        )
    return _("The refund counted as failed, and the processor reports that it succeeded.")
