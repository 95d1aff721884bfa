"""What an answer makes of an attempt and its refund, whoever brings it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from gateways.base import Exchange, Failure, FailureCode, Operation, RefundResult, RefundState
from gateways.errors import NotSent, OutcomeUnknown
from gateways.money import Money
from refunds import delivery, execution, sweeps
from refunds.models import Attention, AttentionKind, Refund
from refunds.recording import record_answer
from refunds.states import AttemptState, Status

from .desk import Desk
from .states import leave_unknown

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@only_stripe
def test_a_late_worker_brings_evidence_but_moves_nothing_backwards(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    attempt = execution.claim(refund, Operation.REFUND)
    assert attempt
    past = timezone.now() - timedelta(seconds=1)
    Refund.objects.filter(pk=refund.pk).update(lease_until=past)
    sweeps.expire_leases()
    late = record_answer(attempt, attempt.fence, OutcomeUnknown("The connection broke."))
    assert late.status == Status.UNKNOWN
    proof = RefundResult(RefundState.SUCCEEDED, "re_77", Money(2_500, "USD"))
    assert record_answer(attempt, attempt.fence, proof).status == Status.SUCCEEDED
    refused = RefundResult(RefundState.FAILED)
    assert record_answer(attempt, attempt.fence, refused).status == Status.SUCCEEDED
    assert desk.sums(transaction) == (0, 2_500)


@only_stripe
@pytest.mark.parametrize("state", [RefundState.FAILED, RefundState.SUCCEEDED])
def test_a_late_answer_to_an_earlier_attempt_settles_no_later_one(desk: Desk, state):
    transaction = desk.pay()
    refund = leave_unknown(desk.ask(transaction, 2_500), number=2)
    earlier = refund.attempts.get(number=1)
    said = Exchange(timezone.now(), "POST", "https://example.com", "", 200, "late")
    answer = RefundResult(state, "re_77", refund.amount, exchanges=(said,))
    assert record_answer(earlier, earlier.fence, answer).status == Status.UNKNOWN
    assert list(refund.attempts.values_list("state", flat=True)) == ["not_sent", "ambiguous"]
    earlier.refresh_from_db()
    assert len(earlier.exchanges) == 1
    assert desk.sums(transaction) == (2_500, 0)


@only_stripe
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (
            RefundResult(RefundState.FAILED, failure=Failure(FailureCode.OTHER, "x\0", "No\0")),
            "failed",
        ),
        (NotSent("Turned\0 away.", reason="rate_limited"), "queued"),
        (NotSent("Too late\0.", reason="too_late"), "queued"),
        (OutcomeUnknown("Broken\0 off."), "unknown"),
    ],
)
def test_words_that_the_database_cannot_hold_lose_no_answer(desk: Desk, answer, status):
    refund = desk.ask(desk.pay(), 2_500)
    attempt = execution.claim(refund, Operation.REFUND)
    assert attempt
    assert record_answer(attempt, attempt.fence, answer).status == status
    attempt.refresh_from_db()
    assert "\N{REPLACEMENT CHARACTER}" in attempt.processor_message


@only_stripe
def test_who_lost_the_lease_and_sent_nothing_only_leaves_evidence(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    attempt = execution.claim(refund, Operation.REFUND)
    assert attempt
    past = timezone.now() - timedelta(seconds=1)
    Refund.objects.filter(pk=refund.pk).update(lease_until=past)
    sweeps.expire_leases()
    late = record_answer(attempt, attempt.fence, NotSent("Too late.", reason="too_late"))
    assert late.status == Status.UNKNOWN
    assert late.attempts.get().state == AttemptState.AMBIGUOUS


@only_stripe
@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.parametrize(
    ("minor", "refund_id", "kind"),
    [
        (2_400, "re_1", AttentionKind.AMOUNT_DIFFERS),
        (2_500, "re_taken", AttentionKind.UNKNOWN_OUTCOME),
    ],
)
def test_an_answer_of_something_else_proves_nothing(desk: Desk, minor, refund_id, kind, expired):
    transaction = desk.pay()
    taken = desk.ask(transaction, 100)
    execution.send_refund(taken.pk)
    refund = desk.ask(transaction, 2_500)
    attempt = execution.claim(refund, Operation.REFUND)
    assert attempt
    if expired:
        past = timezone.now() - timedelta(seconds=1)
        Refund.objects.filter(pk=refund.pk).update(lease_until=past)
        sweeps.expire_leases()
    if refund_id == "re_taken":
        taken.refresh_from_db()
        refund_id = taken.processor_refund_id
    answer = RefundResult(RefundState.SUCCEEDED, refund_id, Money(minor, "USD"))
    assert record_answer(attempt, attempt.fence, answer).status == Status.UNKNOWN
    assert Attention.objects.get(refund=refund).kind == kind
    assert desk.sums(transaction) == (2_500, 100)


@only_stripe
def test_a_database_that_goes_away_for_a_moment_loses_no_answer(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    attempt = execution.claim(refund, Operation.REFUND)
    assert attempt
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [ours] = cursor.fetchone()

    def cut_us_off() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [ours])
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(cut_us_off).result()
    refused = Failure(FailureCode.DECLINED_BY_BANK, "declined", "No.")
    delivery.record(attempt, RefundResult(RefundState.FAILED, failure=refused))
    refund.refresh_from_db()
    assert refund.status == Status.FAILED
