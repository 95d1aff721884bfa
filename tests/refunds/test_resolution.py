"""What lost its message, its worker or its answer, over sockets; the ledger is the judge."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.db import transaction as database
from django.db.models import F
from django.utils import timezone

from gateways.base import Failure, FailureCode, Operation, RefundState, ReportedRefund
from gateways.money import Money
from gateways.registry import open_gateway
from gateways.stripe_records import REFERENCE_KEY
from refunds import execution, resolution, schedule, services, sweeps
from refunds.models import Attention, AttentionKind, Refund, RefundAttempt
from refunds.orders import reference_of
from refunds.states import AttemptState, Status
from refunds.sync import sync_account
from refunds.transitions import lock_refund, move

from .desk import KEYED, ONE_SHOT, Desk
from .raw import triggers_off

keyed = pytest.mark.parametrize("desk", KEYED, indirect=True)
one_shot = pytest.mark.parametrize("desk", ONE_SHOT, indirect=True)
only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


def due(refund: Refund) -> None:
    """As if half an hour had passed since the last send, and the next question was due."""
    Refund.objects.filter(pk=refund.pk).update(next_action_at=timezone.now())
    half_an_hour_ago = F("last_sent_at") - timedelta(minutes=30)
    RefundAttempt.objects.filter(refund=refund).update(last_sent_at=half_an_hour_ago)


def looked_up(refund: Refund) -> Refund:
    due(refund)
    resolution.look_up_refund(refund.pk)
    refund.refresh_from_db()
    return refund


def lose_the_answer(desk: Desk, when: str, what: str = "reset") -> Refund:
    refund = desk.ask(desk.pay(), 2_500)
    desk.arm("refund", what, when)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == Status.UNKNOWN
    return refund


def test_a_refund_whose_answer_was_lost_is_found(desk: Desk):
    refund = lose_the_answer(desk, "after")
    assert refund.attempts.get().processor_message
    looked_up(refund)
    assert refund.status == Status.SUCCEEDED
    assert refund.processor_refund_id
    assert desk.given_back(refund.transaction) == [2_500]
    assert desk.sums(refund.transaction) == (0, 2_500)
    attempt = refund.attempts.get()
    assert attempt.state == AttemptState.ACCEPTED
    assert attempt.processor_message == ""  # what was complained of before is in the exchanges


@keyed
def test_a_lost_request_is_sent_again_under_its_key(desk: Desk):
    refund = looked_up(lose_the_answer(desk, "before"))
    assert refund.status == Status.SUCCEEDED
    attempt = refund.attempts.get()
    assert (attempt.sends, attempt.state) == (2, AttemptState.ACCEPTED)
    assert desk.given_back(refund.transaction) == [2_500]


@one_shot
def test_a_lost_request_without_keys_is_held_for_a_person(desk: Desk):
    refund = lose_the_answer(desk, "before")
    for _ in range(3):
        looked_up(refund)
    assert (refund.status, refund.lookups) == (Status.UNKNOWN, 3)
    assert refund.attempts.get().sends == 1
    assert desk.given_back(refund.transaction) == []
    assert desk.sums(refund.transaction) == (2_500, 0)


def test_a_look_up_that_fails_proves_nothing(desk: Desk):
    refund = lose_the_answer(desk, "after")
    desk.account.base_url = f"http://127.0.0.1:9/{desk.processor}"
    desk.account.save()
    assert looked_up(refund).status == Status.UNKNOWN
    assert refund.lookups == 0  # no answer is no question
    assert refund.next_action_at < timezone.now() + timedelta(seconds=11)
    desk.account.base_url = f"{desk.sandbox.url}/{desk.processor}"
    desk.account.save()
    assert looked_up(refund).status == Status.SUCCEEDED


@keyed
def test_a_key_is_sent_six_times_at_most(desk: Desk):
    refund = lose_the_answer(desk, "before")
    desk.arm("refund", "reset", "before", times=100)
    for _ in range(10):
        looked_up(refund)
    assert refund.attempts.get().sends == 6
    assert refund.status == Status.UNKNOWN
    assert desk.given_back(refund.transaction) == []


@keyed
def test_who_asks_again_and_again_brings_no_send_forward(desk: Desk, agent):
    refund = lose_the_answer(desk, "before")
    desk.arm("refund", "reset", "before", times=100)
    sends = []
    for _ in range(5):
        services.check_refund(refund, actor=agent)
        resolution.look_up_refund(refund.pk)
        refund.refresh_from_db()
        sends.append(refund.attempts.get().sends)
    assert sends == [1] * 5
    attempt = refund.attempts.get()
    assert refund.next_action_at == attempt.last_sent_at + timedelta(seconds=10)
    looked_up(refund)
    services.check_refund(refund, actor=agent)
    resolution.look_up_refund(refund.pk)
    assert refund.attempts.get().sends == 2


@keyed
def test_a_key_near_the_end_of_its_life_is_not_sent_again(desk: Desk):
    refund = lose_the_answer(desk, "before")
    old = timezone.now() - timedelta(days=46)
    with triggers_off():
        RefundAttempt.objects.filter(refund=refund).update(first_sent_at=old)
    assert looked_up(refund).status == Status.UNKNOWN
    assert refund.attempts.get().sends == 1


@keyed
def test_a_key_is_not_sent_under_other_credentials(desk: Desk):
    refund = lose_the_answer(desk, "before")
    desk.account.credential_fingerprint = "another"
    desk.account.save()
    assert looked_up(refund).status == Status.UNKNOWN
    assert refund.attempts.get().sends == 1


@only_stripe
def test_a_stored_fault_is_looked_up_not_believed(desk: Desk):
    """Stripe replays a 500 for the life of the key, though the refund exists."""
    refund = looked_up(lose_the_answer(desk, "after", "500"))
    assert refund.status == Status.SUCCEEDED
    assert refund.attempts.get().sends == 1


def test_a_send_whose_worker_is_gone_becomes_unknown_and_is_found(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    attempt = execution.claim(refund, Operation.REFUND)
    assert attempt
    assert sweeps.expire_leases() == 0
    past = timezone.now() - timedelta(seconds=1)
    Refund.objects.filter(pk=refund.pk).update(lease_until=past)
    assert sweeps.expire_leases() == 1
    refund.refresh_from_db()
    assert refund.status == Status.UNKNOWN
    attempt.refresh_from_db()
    assert attempt.state == AttemptState.AMBIGUOUS
    looked_up(refund)
    attempt.refresh_from_db()  # no send was counted: nothing has left
    assert (refund.status, attempt.state) == (Status.QUEUED, AttemptState.RULED_OUT)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == Status.SUCCEEDED
    assert desk.given_back(transaction) == [2_500]


@one_shot
def test_a_worker_that_wakes_after_its_refund_went_out_again_sends_nothing(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    late = execution.claim(refund, Operation.REFUND)
    assert late
    past = timezone.now() - timedelta(seconds=1)
    Refund.objects.filter(pk=refund.pk).update(lease_until=past)
    sweeps.expire_leases()
    looked_up(refund)
    execution.deliver(late, open_gateway(desk.account), time.monotonic())
    assert desk.given_back(transaction) == []
    execution.send_refund(refund.pk)
    execution.deliver(late, open_gateway(desk.account), time.monotonic())
    assert desk.given_back(transaction) == [2_500]


@only_stripe
def test_pending_refunds_are_polled_until_they_end(desk: Desk):
    transaction = desk.pay(last4="7726")
    refund = desk.ask(transaction, 2_500)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == Status.PENDING
    assert desk.sums(transaction) == (2_500, 0)
    assert looked_up(refund).status == Status.PENDING
    desk.post("clock", advance_seconds=3_600)
    assert looked_up(refund).status == Status.SUCCEEDED
    assert desk.sums(transaction) == (0, 2_500)


@only_stripe
def test_a_pending_refund_that_fails_gives_the_money_back(desk: Desk):
    transaction = desk.pay(last4="7726")
    refund = desk.ask(transaction, 2_500)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    desk.post("refunds", refund_id=refund.processor_refund_id, status="failed")
    assert looked_up(refund).status == Status.FAILED
    assert refund.failure_code
    assert desk.sums(transaction) == (0, 0)


def report(refund: Refund, state: RefundState, minor: int = 2_500) -> ReportedRefund:
    return ReportedRefund(
        external_id=refund.processor_refund_id or "re_1",
        payment_id=refund.transaction.external_id,
        amount=Money(minor, "USD"),
        state=state,
        created_at=timezone.now(),
    )


@only_stripe
def test_a_refund_that_comes_back_is_returned_and_shown(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    for _ in range(2):  # repeated evidence changes nothing
        refund = resolution.apply_reported(refund.pk, report(refund, RefundState.FAILED))
        assert refund.status == Status.RETURNED
    assert refund.attention_reason
    assert desk.sums(transaction) == (0, 0)


@only_stripe
def test_a_refund_that_comes_back_keeps_the_processors_reason(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    why = Failure(FailureCode.DISPUTED, "charge_for_pending_refund_disputed", "It is disputed.")
    told = replace(report(refund, RefundState.FAILED), failure=why)
    refund = resolution.apply_reported(refund.pk, told)
    assert (refund.status, refund.failure_code) == (Status.RETURNED, "disputed")
    assert refund.failure_processor_code == "charge_for_pending_refund_disputed"
    assert refund.failure_message == "It is disputed."


@only_stripe
def test_proof_of_success_corrects_a_failure(desk: Desk):
    transaction = desk.pay(last4="7726")
    refund = desk.ask(transaction, 2_500)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    resolution.apply_reported(refund.pk, report(refund, RefundState.FAILED))
    refund = resolution.apply_reported(refund.pk, report(refund, RefundState.SUCCEEDED))
    assert refund.status == Status.SUCCEEDED
    assert refund.attention_reason
    assert desk.sums(transaction) == (0, 2_500)


@only_stripe
def test_late_evidence_never_moves_backwards(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    refund = resolution.apply_reported(refund.pk, report(refund, RefundState.PENDING))
    assert refund.status == Status.SUCCEEDED


@only_stripe
def test_another_amount_at_the_processor_is_for_a_person(desk: Desk):
    refund = lose_the_answer(desk, "before")
    refund = resolution.apply_reported(refund.pk, report(refund, RefundState.SUCCEEDED, 2_400))
    assert refund.status == Status.UNKNOWN
    assert "24.00" in refund.attention_reason


@only_stripe
def test_a_refund_that_was_never_tried_takes_no_evidence(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    refund = resolution.apply_reported(refund.pk, report(refund, RefundState.SUCCEEDED))
    assert refund.status == Status.QUEUED


def age_the_send(refund: Refund, by: timedelta) -> None:
    """As if the only send had been so long ago."""
    then = timezone.now() - by
    with triggers_off():
        RefundAttempt.objects.filter(refund=refund).update(first_sent_at=then, last_sent_at=then)


@only_stripe
def test_a_stored_fault_ends_the_sending(desk: Desk):
    """Stripe keeps a 500 for the life of the key: to send again brings the same answer."""
    refund = lose_the_answer(desk, "after", "500")
    [made] = desk.sandbox.ledger.refunds.values()
    hidden, made.extra["metadata"] = made.extra["metadata"], {}
    attempt = looked_up(refund).attempts.get()
    assert (refund.status, attempt.sends) == (Status.UNKNOWN, 2)
    assert attempt.processor_code == schedule.REPLAYED
    assert looked_up(refund).attempts.get().sends == 2
    made.extra["metadata"] = hidden
    assert looked_up(refund).status == Status.SUCCEEDED
    assert desk.given_back(refund.transaction) == [2_500]


def test_two_look_ups_after_the_quarantine_that_find_nothing_come_by_themselves(desk: Desk):
    refund = lose_the_answer(desk, "before")
    RefundAttempt.objects.filter(refund=refund).update(sends=6)
    capabilities = open_gateway(desk.account).capabilities
    assert looked_up(refund).attempts.get().first_absent_at is None
    age_the_send(refund, schedule.QUARANTINE + capabilities.lookup_lag)
    attempt = looked_up(refund).attempts.get()
    assert attempt.first_absent_at == attempt.last_absent_at
    assert refund.next_action_at <= attempt.first_absent_at + schedule.ABSENCES_APART
    attempt.first_absent_at -= schedule.ABSENCES_APART
    attempt.save()
    age_the_send(refund, schedule.QUARANTINE * 2 + capabilities.lookup_lag)
    attempt = looked_up(refund).attempts.get()
    assert schedule.is_absent(attempt, capabilities)
    assert refund.status == Status.UNKNOWN
    assert desk.sums(refund.transaction) == (2_500, 0)


@pytest.mark.parametrize("desk", ["nmi"], indirect=True)
def test_what_may_be_the_refund_is_shown_to_people_and_counts_as_no_absence(desk: Desk):
    refund = lose_the_answer(desk, "before")
    assert looked_up(refund).attention_reason is None
    made = desk.post("refunds", payment_id=refund.transaction.external_id, amount="25.00")
    age_the_send(refund, timedelta(days=1))
    for _ in range(2):
        looked_up(refund)
        case = Attention.objects.get(refund=refund, kind=AttentionKind.UNKNOWN_OUTCOME)
        [likely] = case.evidence["likely"]
        assert (likely["id"], likely["amount"]) == (made["refund"]["id"], "25.00 USD")
        assert datetime.fromisoformat(likely["created_at"]).tzinfo
    assert refund.status == Status.UNKNOWN
    assert refund.attempts.get().first_absent_at is None


@keyed
@pytest.mark.parametrize("field", ["held_reason", "paused_reason"])
def test_nothing_is_sent_again_through_an_account_that_is_stopped(desk: Desk, field):
    refund = lose_the_answer(desk, "before")
    setattr(desk.account, field, "Restored from a backup.")
    desk.account.save()
    assert looked_up(refund).status == Status.UNKNOWN
    assert refund.attempts.get().sends == 1
    setattr(desk.account, field, "")
    desk.account.save()
    assert looked_up(refund).status == Status.SUCCEEDED


@keyed
def test_nothing_is_sent_again_for_who_may_no_longer_refund(desk: Desk, agent):
    refund = lose_the_answer(desk, "before")
    agent.is_active = False
    agent.save()
    assert looked_up(refund).status == Status.UNKNOWN
    assert refund.attempts.get().sends == 1


@only_stripe
def test_after_a_restore_an_unknown_refund_is_looked_up_everywhere_first(desk: Desk):
    """Another attempt than the one that the restored row knows was made."""
    refund = lose_the_answer(desk, "before")
    made = desk.post("refunds", payment_id=refund.transaction.external_id, amount="25.00")["refund"]
    lost = {REFERENCE_KEY: reference_of(refund.pk, 3)}
    desk.sandbox.ledger.refunds[made["id"]].extra["metadata"] = lost
    Refund.objects.filter(pk=refund.pk).update(look_up_first=True)
    assert looked_up(refund).processor_refund_id == made["id"]
    assert desk.given_back(refund.transaction) == [2_500]


@keyed
def test_after_a_restore_an_unknown_refund_that_was_not_made_is_sent_again(desk: Desk):
    refund = lose_the_answer(desk, "before")
    Refund.objects.filter(pk=refund.pk).update(look_up_first=True)
    assert looked_up(refund).status == Status.SUCCEEDED
    assert not refund.look_up_first
    assert refund.attempts.get().sends == 2


@only_stripe
def test_an_outside_refund_that_is_pending_is_left_to_the_lists(desk: Desk):
    refund = desk.ask(desk.pay(last4="7726"), 2_500)
    execution.send_refund(refund.pk)
    with triggers_off():
        RefundAttempt.objects.filter(refund=refund).delete()
        Refund.objects.filter(pk=refund.pk).update(origin="external")
    assert looked_up(refund).status == Status.PENDING
    assert (refund.next_action_at, refund.unfinished) == (None, 0)


@keyed
def test_what_was_made_after_all_and_paid_besides_says_so(desk: Desk, agent):
    """Two people had ruled it out, and another one was asked for, and made."""
    first = lose_the_answer(desk, "after")
    with triggers_off():
        first.attempts.update(state=AttemptState.RULED_OUT, sends=0)
    with database.atomic():
        move(lock_refund(first.pk), Status.FAILED, "ruled_did_not")
    other = desk.ask(first.transaction, 2_500)
    execution.send_refund(other.pk)
    other.refresh_from_db()
    assert other.status == Status.SUCCEEDED
    sync_account(desk.account)
    case = Attention.objects.open().get(refund=first, kind=AttentionKind.PAID_AFTER_ALL)
    assert "As much went back besides" in case.reason
    assert desk.given_back(first.transaction) == [2_500, 2_500]
