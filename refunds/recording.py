"""Writing down what a processor answered: the attempt, the refund and the sums, in one commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import transaction as database
from django.utils.translation import gettext as _

from gateways.accounts import pause
from gateways.base import (
    Capabilities,
    Exchange,
    FailureCode,
    RefundResult,
    RefundState,
    ReportedRefund,
)
from gateways.errors import GatewayError, NotSent, OutcomeUnknown
from gateways.failpoints import reach
from gateways.models import ProcessorAccount
from gateways.money import Money
from gateways.registry import gateway_class
from transactions.text import clean

from .attention import flag, raise_case
from .clock import database_now
from .models import MAX_ATTEMPTS, AttentionKind, Refund, RefundAttempt
from .schedule import REPLAYED, first_question, next_question
from .states import LIVE_ATTEMPTS, AttemptState, Status
from .transitions import lock_refund, move

# What a call to a processor can come to. Every other exception is a bug, and an unknown outcome.
Answer = RefundResult | GatewayError

# How many exchanges one attempt keeps as evidence.
_KEPT_EXCHANGES = 20
# Waits before a refund that certainly did not leave is tried under its next identity.
_BACKOFF = (10, 30, 120, 600)

_CODE_OF_REASON = {
    "unreachable": FailureCode.UNREACHABLE,
    "credentials": FailureCode.CREDENTIALS,
    "rate_limited": FailureCode.RATE_LIMITED,
    "too_late": FailureCode.UNREACHABLE,
}


class Contradiction(NamedTuple):
    """What stands against an answer, as a kind of case and a sentence."""

    kind: AttentionKind
    sentence: str


def record_answer(attempt: RefundAttempt, fence: int, answer: Answer) -> Refund:
    """Store an answer to an attempt, and move its refund if ``fence`` still holds the lease.

    A worker that lost its lease may still bring proof: a parsed answer settles an ``unknown``
    refund while no other attempt can have moved money. It never overwrites a proven end.
    """
    with database.atomic():
        refund = lock_refund(attempt.refund_id)
        attempt = RefundAttempt.objects.select_for_update().get(pk=attempt.pk)
        keep_exchanges(attempt, answer.exchanges)
        holds_lease = refund.status == Status.SENDING and refund.fence == fence
        if isinstance(answer, RefundResult):
            is_live = attempt.state in LIVE_ATTEMPTS
            if holds_lease or (is_live and refund.status == Status.UNKNOWN):
                _apply_answered(refund, attempt, answer)
        elif holds_lease:
            _apply_unanswered(refund, attempt, answer)
        attempt.save()
        reach("before-result-commit")
    reach("after-result-commit")
    return refund


def apply_result(refund: Refund, attempt: RefundAttempt, result: RefundResult) -> None:
    """Move a locked refund by a proven answer. The caller saves the attempt."""
    # What is proven takes the place of what an earlier send complained of; the exchanges tell both.
    failure = result.failure
    attempt.processor_code = failure.processor_code[:100] if failure else ""
    attempt.processor_message = failure.message[:1000] if failure else ""
    if result.state == RefundState.FAILED:
        # A refund that the processor had accepted and then gave up keeps its accepted attempt.
        end_attempt(attempt, AttemptState.DECLINED)
        move(refund, Status.FAILED, "refused", changes=failure_fields(result))
        return
    end_attempt(attempt, AttemptState.ACCEPTED)
    known_id: dict[str, Any] = {
        "processor_refund_id": refund.processor_refund_id or result.refund_id
    }
    if result.state == RefundState.SUCCEEDED:
        move(refund, Status.SUCCEEDED, "succeeded", changes=known_id | _NO_FAILURE)
    elif refund.status != Status.PENDING:
        waits = {"next_action_at": first_question(database_now()), "lookups": 0}
        move(refund, Status.PENDING, "accepted", changes=known_id | waits)


def contradiction(refund: Refund, amount: Money | None, refund_id: str) -> Contradiction | None:
    """What stands against an answer being about this refund: then it proves nothing of it."""
    if amount is not None and amount != refund.amount:
        return Contradiction(
            AttentionKind.AMOUNT_DIFFERS,
            _("The processor reports %(theirs)s where %(ours)s was asked for.")
            % {"theirs": amount, "ours": refund.amount},
        )
    others = Refund.objects.filter(
        account_id=refund.account_id, mode=refund.mode, processor_refund_id=refund_id
    ).exclude(pk=refund.pk)
    if refund_id and others.exists():
        return Contradiction(
            AttentionKind.UNKNOWN_OUTCOME,
            _("The processor answers with %s, which is another refund's id.") % refund_id,
        )
    if refund_id and refund.processor_refund_id not in {None, refund_id}:
        return Contradiction(
            AttentionKind.FOUND_SEVERAL,
            _("The processor reports %(theirs)s, and this refund is known there as %(ours)s.")
            % {"theirs": refund_id, "ours": refund.processor_refund_id},
        )
    return None


def another_payment(refund: Refund, reported: ReportedRefund) -> Contradiction | None:
    """What stands against a report being about this refund: it is of another payment.

    Where the processor names no payment, only the card can tell, unless the report bears our own
    reference. Two payments with one card cannot be told apart so.
    """
    payment = refund.transaction
    if reported.payment_id:
        if reported.payment_id in {payment.external_id, *payment.related_ids.split()}:
            return None
        sentence = _("The processor reports %(id)s as a refund of payment %(other)s.")
        values = {"other": clean(reported.payment_id, 100)}
    elif reported.last4 and payment.last4 and reported.last4 != payment.last4:
        if refund.attempts.filter(reference=reported.reference).exists():
            return None
        sentence = _(
            "The processor reports %(id)s as a refund to card %(other)s, and this payment came "
            "from card %(ours)s."
        )
        values = {"other": clean(reported.last4, 4), "ours": payment.last4}
    else:
        return None
    values["id"] = clean(reported.external_id, 100)
    return Contradiction(AttentionKind.MISSING, sentence % values)


def evidence_of(reported: ReportedRefund) -> dict[str, str]:
    """What a case about a refund keeps of what the processor reports."""
    return {"refund": clean(reported.external_id, 100), "amount": str(reported.amount)}


def live_attempt(refund: Refund) -> RefundAttempt | None:
    """The one attempt that may have moved money; a refund in sending, unknown or pending has it.

    None for refunds that were made elsewhere.
    """
    return refund.attempts.filter(state__in=sorted(LIVE_ATTEMPTS)).first()


def capabilities_of(refund: Refund) -> Capabilities:
    return gateway_class(refund.account.processor).capabilities


def end_attempt(attempt: RefundAttempt, state: AttemptState) -> None:
    """Close an attempt that is still open to evidence; a proven end stays as it is."""
    if attempt.state in {AttemptState.STARTED, AttemptState.AMBIGUOUS}:
        attempt.state = state
        attempt.ended_at = database_now()


def fail_unsent(refund: Refund, attempt: RefundAttempt, code: str, sentence: str) -> None:
    """End a locked refund of which certainly nothing left. The caller saves the attempt."""
    attempt.processor_message = sentence[:1000]
    end_attempt(attempt, AttemptState.NOT_SENT)
    why = {"failure_code": code, "failure_message": sentence[:1000]}
    move(refund, Status.FAILED, "not_sent", changes=why)


def keep_exchanges(attempt: RefundAttempt, exchanges: Iterable[Exchange]) -> None:
    """Append evidence to an attempt; the oldest stays, the middle gives way. The caller saves."""
    stored = attempt.exchanges + [_dump_exchange(exchange) for exchange in exchanges]
    attempt.exchanges = stored[:1] + stored[1:][-(_KEPT_EXCHANGES - 1) :]


def failure_fields(result: RefundResult) -> dict[str, Any]:
    """The columns of a refund that say why it failed."""
    failure = result.failure
    if failure is None:
        return {"failure_code": FailureCode.OTHER}
    return {
        "failure_code": failure.code,
        "failure_processor_code": failure.processor_code[:100],
        "failure_message": failure.message[:1000],
    }


# What a good end clears.
_NO_FAILURE: dict[str, Any] = {
    "failure_code": "",
    "failure_processor_code": "",
    "failure_message": "",
}


def _apply_answered(refund: Refund, attempt: RefundAttempt, result: RefundResult) -> None:
    """Money did move, or certainly not; but of something else it proves nothing."""
    against = None
    if result.state != RefundState.FAILED:
        against = contradiction(refund, result.amount, result.refund_id)
    if against is None:
        apply_result(refund, attempt, result)
        return
    if refund.status == Status.SENDING:
        _apply_unknown(refund, attempt, OutcomeUnknown(against.sentence))
    flag(refund, against.kind, against.sentence)


def _apply_unanswered(refund: Refund, attempt: RefundAttempt, error: GatewayError) -> None:
    # Of an attempt that was sent before, a later "not sent" says nothing.
    if isinstance(error, NotSent) and attempt.state == AttemptState.STARTED:
        _apply_not_sent(refund, attempt, error)
    else:
        _apply_unknown(refund, attempt, error)


def _apply_not_sent(refund: Refund, attempt: RefundAttempt, answer: NotSent) -> None:
    code = _CODE_OF_REASON.get(answer.reason, FailureCode.BAD_REQUEST)
    if answer.reason == "refused_locally" or attempt.number >= MAX_ATTEMPTS:
        fail_unsent(refund, attempt, code, str(answer))
        return
    attempt.processor_message = str(answer)[:1000]
    end_attempt(attempt, AttemptState.NOT_SENT)
    wait = max(answer.retry_after or 0, _BACKOFF[attempt.number - 1])
    due = database_now() + timedelta(seconds=min(wait, _BACKOFF[-1]))
    changes = {"next_action_at": due}
    move(refund, Status.QUEUED, "not_sent", data={"why": str(answer)}, changes=changes)
    if answer.reason == "credentials":
        pause_account(refund, str(answer))


def pause_account(refund: Refund, why: str) -> None:
    """Stop sending through an account whose credentials are rejected, until they work again."""
    account = refund.account
    pause(ProcessorAccount.objects.filter(pk=account.pk), why)
    raise_case(
        AttentionKind.ACCOUNT_PAUSED,
        f"account:{account.pk}",
        _("The account is paused: %s") % why,
        account=account,
    )


def _apply_unknown(refund: Refund, attempt: RefundAttempt, error: GatewayError) -> None:
    if isinstance(error, OutcomeUnknown):
        attempt.processor_code = REPLAYED if error.replayed else error.processor_code[:100]
    attempt.processor_message = str(error)[:1000]
    end_attempt(attempt, AttemptState.AMBIGUOUS)
    now = database_now()
    due = next_question(Status.UNKNOWN, refund.lookups, attempt, capabilities_of(refund), now)
    move(
        refund,
        Status.UNKNOWN,
        "no_clear_answer",
        data={"why": str(error)},
        changes={"unknown_since": refund.unknown_since or now, "next_action_at": due},
    )


def _dump_exchange(exchange: Exchange) -> dict[str, Any]:
    return asdict(exchange) | {"at": exchange.at.isoformat()}
