"""Writing down what a processor answered: the attempt, the refund and the sums, in one commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction as database
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.base import Exchange, FailureCode, RefundResult, RefundState
from gateways.errors import GatewayError, NotSent
from gateways.models import ProcessorAccount

from .attention import raise_case
from .models import MAX_ATTEMPTS, AttentionKind, Refund, RefundAttempt
from .states import AttemptState, Status
from .transitions import lock_refund, move

# What a call to a processor can come to. Every other exception is a bug, and an unknown outcome.
Answer = RefundResult | GatewayError

# How many exchanges one attempt keeps as evidence.
_KEPT_EXCHANGES = 20
# Waits before a refund that certainly did not leave is tried under its next identity.
_BACKOFF = (10, 30, 120, 600)
# Waits between questions about a refund without a proven outcome.
LOOKUP_SCHEDULE = (10, 60, 180, 600, 1800, 7200)
_LOOKUP_FOREVER = 6 * 3600

_CODE_OF_REASON = {
    "unreachable": FailureCode.UNREACHABLE,
    "credentials": FailureCode.CREDENTIALS,
    "rate_limited": FailureCode.RATE_LIMITED,
}


def record_answer(attempt: RefundAttempt, fence: int, answer: Answer) -> Refund:
    """Store an answer to an attempt, and move its refund if ``fence`` still holds the lease.

    A worker that lost its lease may still bring proof: a parsed answer settles an ``unknown``
    refund. It never overwrites a newer send or a proven end.
    """
    with database.atomic():
        refund = lock_refund(attempt.refund_id)
        attempt = RefundAttempt.objects.select_for_update().get(pk=attempt.pk)
        keep_exchanges(attempt, answer.exchanges)
        holds_lease = refund.status == Status.SENDING and refund.fence == fence
        proves = refund.status == Status.UNKNOWN and isinstance(answer, RefundResult)
        if holds_lease or proves:
            if isinstance(answer, RefundResult):
                apply_result(refund, attempt, answer)
            elif isinstance(answer, NotSent) and attempt.state == AttemptState.STARTED:
                _apply_not_sent(refund, attempt, answer)
            else:
                _apply_unknown(refund, attempt, str(answer))
        attempt.save()
    return refund


def apply_result(refund: Refund, attempt: RefundAttempt, result: RefundResult) -> None:
    """Move a locked refund by a proven answer. The caller saves the attempt."""
    if failure := result.failure:
        attempt.processor_code = failure.processor_code[:100]
        attempt.processor_message = failure.message[:1000]
    if result.state == RefundState.FAILED:
        # A refund that the processor had accepted and then gave up keeps its accepted attempt.
        end_attempt(attempt, AttemptState.DECLINED)
        move(refund, Status.FAILED, "refused", changes=_failure_fields(result))
        return
    end_attempt(attempt, AttemptState.ACCEPTED)
    known_id: dict[str, Any] = {
        "processor_refund_id": refund.processor_refund_id or result.refund_id
    }
    if result.state == RefundState.SUCCEEDED:
        move(refund, Status.SUCCEEDED, "succeeded", changes=known_id | _NO_FAILURE)
    elif refund.status != Status.PENDING:
        due = timezone.now() + timedelta(seconds=LOOKUP_SCHEDULE[0])
        waits = {"next_action_at": due, "lookups": 0}
        move(refund, Status.PENDING, "accepted", changes=known_id | waits)


def end_attempt(attempt: RefundAttempt, state: AttemptState) -> None:
    """Close an attempt that is still open to evidence; a proven end stays as it is."""
    if attempt.state in {AttemptState.STARTED, AttemptState.AMBIGUOUS}:
        attempt.state = state
        attempt.ended_at = timezone.now()


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


def next_lookup(lookups: int) -> datetime:
    """When to ask again after ``lookups`` questions."""
    waits = LOOKUP_SCHEDULE[lookups] if lookups < len(LOOKUP_SCHEDULE) else _LOOKUP_FOREVER
    return timezone.now() + timedelta(seconds=waits)


# What a good end clears.
_NO_FAILURE: dict[str, Any] = {
    "failure_code": "",
    "failure_processor_code": "",
    "failure_message": "",
}


def _failure_fields(result: RefundResult) -> dict[str, Any]:
    failure = result.failure
    if failure is None:
        return {"failure_code": FailureCode.OTHER}
    return {
        "failure_code": failure.code,
        "failure_processor_code": failure.processor_code[:100],
        "failure_message": failure.message[:1000],
    }


def _apply_not_sent(refund: Refund, attempt: RefundAttempt, answer: NotSent) -> None:
    code = _CODE_OF_REASON.get(answer.reason, FailureCode.BAD_REQUEST)
    if answer.reason == "refused_locally" or attempt.number >= MAX_ATTEMPTS:
        fail_unsent(refund, attempt, code, str(answer))
        return
    attempt.processor_message = str(answer)[:1000]
    end_attempt(attempt, AttemptState.NOT_SENT)
    wait = max(answer.retry_after or 0, _BACKOFF[attempt.number - 1])
    due = timezone.now() + timedelta(seconds=min(wait, _BACKOFF[-1]))
    changes = {"next_action_at": due}
    move(refund, Status.QUEUED, "not_sent", data={"why": str(answer)}, changes=changes)
    if answer.reason == "credentials":
        _pause(refund, str(answer))


def _pause(refund: Refund, why: str) -> None:
    """Stop sending through an account whose credentials are rejected, until they work again."""
    account = refund.account
    ProcessorAccount.objects.filter(pk=account.pk).update(paused_reason=why[:300])
    raise_case(
        AttentionKind.ACCOUNT_PAUSED,
        f"account:{account.pk}",
        _("The account is paused: %s") % why,
        account=account,
    )


def _apply_unknown(refund: Refund, attempt: RefundAttempt, why: str) -> None:
    attempt.processor_message = why[:1000]
    end_attempt(attempt, AttemptState.AMBIGUOUS)
    move(
        refund,
        Status.UNKNOWN,
        "no_clear_answer",
        data={"why": why},
        changes={
            "unknown_since": refund.unknown_since or timezone.now(),
            "next_action_at": next_lookup(refund.lookups),
        },
    )


def _dump_exchange(exchange: Exchange) -> dict[str, Any]:
    return asdict(exchange) | {"at": exchange.at.isoformat()}
