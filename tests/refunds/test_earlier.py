"""What counted as not made and was made all the same leaves no second time, whoever comes between."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from gateways.base import RefundState
from gateways.models import ProcessorAccount
from refunds import delivery, execution, services
from refunds.models import Attention, AttentionKind, Refund, RefundAttempt
from refunds.resolution import apply_reported
from refunds.services import cancel_refund
from refunds.states import AttemptState, Status
from refunds.sync import sync_account

from .desk import Desk
from .faults.play import assert_agreement, recovered, run_before_claim, sent
from .faults.test_workers import die_at
from .raw import triggers_off
from .reports import now_reported
from .states import add_attempt, bring, leave_unknown

pytestmark = pytest.mark.django_db(transaction=True)


# Of the others PayPal repeats a 401 itself, and nothing else of them says that it did nothing.
only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


def turn_away(desk: Desk) -> Refund:
    """A refund that was made, though the processor said that it had not let it in."""
    refund = desk.ask(desk.pay(), 2_500)
    desk.arm("refund", "429", "after")
    assert sent(refund).status == Status.QUEUED
    assert desk.given_back(refund.transaction) == [2_500]
    return refund


# --- by the refund itself ----------------------------------------------------------------------


@only_stripe
def test_who_dies_while_he_takes_over_what_was_made_leaves_nothing_to_send(desk: Desk):
    refund = turn_away(desk)
    die_at("after-attempt-commit", refund)
    assert refund.attempts.get(number=2).sends == 0
    assert recovered(refund).status == Status.SUCCEEDED
    assert_agreement(desk, refund.transaction, 2_500)


@only_stripe
def test_what_a_sync_records_in_that_moment_is_not_paid_again(desk: Desk, monkeypatch):
    refund = turn_away(desk)
    run_before_claim(monkeypatch, lambda: sync_account(desk.account))
    assert sent(refund).status == Status.QUEUED
    assert sent(refund).status == Status.CANCELED
    assert_agreement(desk, refund.transaction, 2_500)


def test_a_payment_found_disputed_stays_so_when_its_worker_dies(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    desk.change(refund.transaction, dispute="open")
    Refund.objects.update(next_action_at=timezone.now())
    die_at("after-attempt-commit", refund)
    assert recovered(refund).status == Status.FAILED
    assert desk.calls("refund") == 0


@only_stripe
def test_an_answer_that_the_database_cannot_take_at_once_is_written_all_the_same(
    desk: Desk, monkeypatch
):
    refund = turn_away(desk)
    monkeypatch.setattr("refunds.delivery._DATABASE_WAITS", (0,))
    broken = [OperationalError("canceling statement due to lock timeout")]
    write = delivery.record_answer

    def write_late(*args):
        if broken:
            raise broken.pop()
        return write(*args)

    monkeypatch.setattr(delivery, "record_answer", write_late)
    assert sent(refund).status == Status.SUCCEEDED
    assert_agreement(desk, refund.transaction, 2_500)


def test_that_an_earlier_attempt_was_refused_says_nothing_of_the_last(paid, ask):
    refund = leave_unknown(ask(paid, 500))
    first = refund.attempts.get()
    with triggers_off():  # as after two people ruled it out
        RefundAttempt.objects.filter(pk=first.pk).update(state=AttemptState.RULED_OUT)
    last = add_attempt(refund, AttemptState.AMBIGUOUS, number=2)
    refused = now_reported("re_1", state=RefundState.FAILED, reference=first.reference)
    assert apply_reported(refund.pk, refused).status == Status.UNKNOWN
    refused = now_reported("re_2", state=RefundState.FAILED, reference=last.reference)
    assert apply_reported(refund.pk, refused).status == Status.FAILED


# --- by another refund of the payment -------------------------------------------------------------


@only_stripe
def test_what_was_turned_away_and_called_off_is_not_paid_when_it_is_asked_for_anew(
    desk: Desk, agent
):
    first = turn_away(desk)
    cancel_refund(first, actor=agent)
    again = sent(desk.ask(first.transaction, 2_500))
    assert again.status == Status.CANCELED
    assert again.attention_reason
    assert desk.given_back(first.transaction) == [2_500]


@only_stripe
def test_what_a_sync_counted_as_made_is_not_tried_again(desk: Desk, agent):
    first = cancel_refund(turn_away(desk), actor=agent)
    sync_account(desk.account)
    with pytest.raises(services.WrongStatus, match="went back already"):
        services.retry_refund(first, actor=agent)
    assert_agreement(desk, first.transaction, 2_500)


@only_stripe
def test_what_a_sync_counts_while_it_is_tried_again_is_not_sent(desk: Desk, agent):
    first = cancel_refund(turn_away(desk), actor=agent)
    again = services.retry_refund(first, actor=agent)
    sync_account(desk.account)
    assert sent(again).status == Status.CANCELED
    assert "was made after all" in again.attention_reason
    assert_agreement(desk, first.transaction, 2_500)


@only_stripe
def test_what_counts_as_ours_and_fails_is_owed_again(desk: Desk, agent):
    first = cancel_refund(turn_away(desk), actor=agent)
    sync_account(desk.account)
    outside = Refund.objects.get(origin="external")
    assert outside.counts_for == first
    desk.post("refunds", refund_id=outside.processor_refund_id, status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    outside.refresh_from_db()
    assert outside.status == Status.RETURNED
    assert sent(services.retry_refund(first, actor=agent)).status == Status.SUCCEEDED


@only_stripe
def test_what_was_called_off_is_tried_again_once_that_came_back(desk: Desk, agent):
    first = cancel_refund(turn_away(desk), actor=agent)
    again = services.retry_refund(first, actor=agent)
    sync_account(desk.account)
    assert sent(again).status == Status.CANCELED
    for each in (first, again):
        with pytest.raises(services.WrongStatus, match="went back already"):
            services.retry_refund(each, actor=agent)
    outside = Refund.objects.get(origin="external")
    desk.post("refunds", refund_id=outside.processor_refund_id, status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    third = services.retry_refund(first, actor=agent)
    assert third.retry_of == again
    assert services.retry_refund(again, actor=agent) == third
    assert sent(third).status == Status.SUCCEEDED
    assert_agreement(desk, first.transaction, 2_500)


@only_stripe
def test_what_was_called_off_for_its_own_attempt_is_tried_again_once_that_came_back(
    desk: Desk, agent
):
    refund = turn_away(desk)
    sync_account(desk.account)
    assert sent(refund).status == Status.CANCELED
    with pytest.raises(services.WrongStatus, match="went back already"):
        services.retry_refund(refund, actor=agent)
    desk.post("refunds", refund_id=refund.made_as.processor_refund_id, status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    assert sent(services.retry_refund(refund, actor=agent)).status == Status.SUCCEEDED
    assert_agreement(desk, refund.transaction, 2_500)


@only_stripe
@pytest.mark.parametrize("end", [Status.CANCELED, Status.FAILED])
def test_what_failed_before_it_was_recorded_is_told_to_what_was_called_off_for_it(
    desk: Desk, agent, end
):
    first = bring(turn_away(desk), end)
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.CANCELED
    made = Attention.objects.open().get(refund=again).evidence["refund"]
    desk.post("refunds", refund_id=made, status="failed")
    for _ in range(2):
        sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    case = Attention.objects.open().get(refund=again)
    assert "has failed since" in case.reason
    assert sent(services.retry_refund(first, actor=agent)).status == Status.SUCCEEDED
    assert_agreement(desk, first.transaction, 2_500)


@only_stripe
def test_what_is_tried_again_beside_another_amount_goes_out(desk: Desk, agent):
    first = cancel_refund(turn_away(desk), actor=agent)
    other = cancel_refund(desk.ask(first.transaction, 1_700), actor=agent)
    assert sent(services.retry_refund(other, actor=agent)).status == Status.SUCCEEDED
    sync_account(desk.account)
    assert_agreement(desk, first.transaction, 2_500, 1_700)


@only_stripe
def test_what_would_go_beyond_the_payment_waits_until_what_went_back_is_counted(desk: Desk, agent):
    first = cancel_refund(turn_away(desk), actor=agent)
    other = desk.ask(first.transaction, 7_600)
    assert sent(other).status == Status.QUEUED
    assert "(25.00 USD), which is not counted yet" in other.attention_reason
    sync_account(desk.account)
    assert sent(other).status == Status.FAILED
    assert "More would go back than was paid" in other.failure_message
    assert_agreement(desk, first.transaction, 2_500)


@only_stripe
def test_what_people_took_back_is_looked_for_when_it_is_asked_for_anew(desk: Desk):
    first = desk.ask(desk.pay(), 2_500)
    assert sent(first).status == Status.SUCCEEDED
    with triggers_off():  # as after two rulings: it was made, and no, it was not
        Refund.objects.filter(pk=first.pk).update(
            status=Status.RETURNED, processor_refund_id=None, failure_code="not_made"
        )
    type(first.transaction).objects.update(refunded_minor=0)
    again = sent(desk.ask(first.transaction, 2_500))
    assert again.status == Status.CANCELED
    assert desk.given_back(first.transaction) == [2_500]


# --- what changed while all this was read --------------------------------------------------------


@only_stripe
def test_nothing_leaves_beyond_what_was_paid(desk: Desk):
    refund = desk.ask(desk.pay(), 6_000)
    desk.post("refunds", payment_id=refund.transaction.external_id, amount_minor=6_000)
    sync_account(desk.account)
    assert sent(refund).status == Status.FAILED
    assert refund.failure_message.startswith("More would go back than was paid")
    assert refund.attempts.get().state == AttemptState.NOT_SENT
    assert desk.calls("refund") == 0


@only_stripe
@pytest.mark.parametrize("event", ["the account is held", "the requester may no more"])
def test_what_stops_a_refund_while_its_payment_is_read_stops_it(
    desk: Desk, monkeypatch, event, agent
):
    refund = desk.ask(desk.pay(), 2_500)
    read = execution.refresh_payment

    def read_slowly(*args):
        read(*args)
        if event == "the account is held":
            ProcessorAccount.objects.update(held_reason="Restored.")
        else:
            type(agent).objects.filter(pk=refund.requested_by_id).update(is_active=False)

    monkeypatch.setattr(execution, "refresh_payment", read_slowly)
    sent(refund)
    expected = Status.QUEUED if event == "the account is held" else Status.CANCELED
    assert refund.status == expected
    assert desk.calls("refund") == 0


@only_stripe
def test_what_came_back_says_of_what_it_was_and_answers_what_was_called_off(desk: Desk, agent):
    first = cancel_refund(turn_away(desk), actor=agent)
    again = services.retry_refund(first, actor=agent)
    sync_account(desk.account)
    assert sent(again).status == Status.CANCELED
    outside = Refund.objects.get(origin="external")
    desk.post("refunds", refund_id=outside.processor_refund_id, status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    case = Attention.objects.open().get(refund=outside, kind=AttentionKind.RETURNED)
    assert "has failed or come back since" in case.reason
    assert "try that one again" in case.reason
    again.refresh_from_db()
    assert again.attention_reason is None
