"""Queued refunds through the four processors, over sockets; the sandbox's ledger is the judge."""

from __future__ import annotations

import pytest
from django.utils import timezone

from gateways.base import Operation
from gateways.errors import NotSent
from gateways.failures import Action, explain
from gateways.stripe_records import REFERENCE_KEY
from refunds import execution
from refunds.execution import send_refund
from refunds.models import Attention, AttentionKind, CircuitBreaker, Refund, RefundAttempt
from refunds.recording import record_answer
from refunds.states import AttemptState, Status
from refunds.sync import sync_account
from transactions.models import Transaction

from .desk import Desk
from .raw import triggers_off

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)
only_settling = pytest.mark.parametrize("desk", ["authorizenet", "nmi"], indirect=True)


def due(refund: Refund) -> None:
    Refund.objects.filter(pk=refund.pk).update(next_action_at=timezone.now())


def sent(refund: Refund) -> Refund:
    send_refund(refund.pk)
    refund.refresh_from_db()
    return refund


def test_a_full_refund_succeeds(desk: Desk):
    transaction = desk.pay()
    refund = sent(desk.ask(transaction, 10_000))
    assert refund.status == Status.SUCCEEDED
    assert refund.processor_refund_id
    assert refund.finished_at
    assert desk.given_back(transaction) == [10_000]
    assert desk.sums(transaction) == (0, 10_000)
    attempt = refund.attempts.get()
    assert (attempt.state, attempt.sends, attempt.number) == (AttemptState.ACCEPTED, 1, 1)
    assert attempt.exchanges


def test_partial_refunds_end_at_exactly_nothing_left(desk: Desk):
    transaction = desk.pay(10_000)
    for minor in (3_333, 3_333, 3_333, 1):
        assert sent(desk.ask(transaction, minor)).status == Status.SUCCEEDED
    assert desk.given_back(transaction) == [3_333, 3_333, 3_333, 1]
    transaction.refresh_from_db()
    assert (transaction.refundable_minor, transaction.refund_state) == (0, "full")


def test_two_equal_partial_refunds_are_two_refunds(desk: Desk):
    transaction = desk.pay()
    for _ in range(2):
        assert sent(desk.ask(transaction, 500)).status == Status.SUCCEEDED
    assert desk.given_back(transaction) == [500, 500]


def test_a_second_message_does_nothing(desk: Desk):
    transaction = desk.pay()
    refund = sent(desk.ask(transaction, 2_500))
    sent(refund)
    assert desk.given_back(transaction) == [2_500]
    assert refund.attempts.get().sends == 1


def test_a_refund_made_elsewhere_meanwhile_is_refused_by_the_processor(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 8_000)
    desk.post("refunds", payment_id=transaction.external_id, amount="50.00")
    sent(refund)
    assert refund.status == Status.FAILED
    assert refund.failure_code in {"exceeds_refundable", "already_refunded"}
    assert refund.failure_message
    assert refund.attempts.get().state == AttemptState.DECLINED
    assert desk.given_back(transaction) == [5_000]
    assert desk.sums(transaction) == (0, 0)


@pytest.mark.parametrize("desk", ["stripe", "paypal", "authorizenet"], indirect=True)
def test_a_payment_disputed_meanwhile_is_not_sent(desk: Desk):
    """NMI does not tell of disputes in what it lists."""
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.change(transaction, dispute="open")
    sent(refund)
    assert (refund.status, refund.failure_code) == (Status.FAILED, "disputed")
    assert refund.attempts.get().sends == 0
    assert desk.given_back(transaction) == []
    assert desk.sums(transaction) == (0, 0)


@only_settling
def test_a_payment_cancelled_meanwhile_leaves_nothing_to_give_back(desk: Desk):
    transaction = desk.pay(status="captured")
    refund = desk.ask(transaction, 10_000)
    desk.post("refunds", payment_id=transaction.external_id, operation="void")
    sent(refund)
    assert (refund.status, refund.failure_code) == (Status.FAILED, "not_captured")
    assert "cancelled before it settled" in refund.failure_message
    assert refund.attempts.get().sends == 0
    told = explain(refund.failure_code)
    assert "Nothing is owed" in str(told.next_step)
    assert Action.TRY_AGAIN not in told.actions
    assert desk.sums(transaction) == (0, 0)


@only_stripe
def test_what_would_go_back_beyond_what_was_paid_is_not_sent(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 8_000)
    desk.post("refunds", payment_id=transaction.external_id, amount="50.00")
    sync_account(desk.account)
    sent(refund)
    assert (refund.status, refund.failure_code) == (Status.FAILED, "exceeds_refundable")
    assert refund.attempts.get().sends == 0
    assert desk.given_back(transaction) == [5_000]


@pytest.mark.parametrize(
    "what",
    ["reset", "500", "502_html", "malformed", "empty", "truncated", "redirect", "dtd", "huge"],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_proves_nothing_is_unknown(desk: Desk, what, when):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", what, when)
    sent(refund)
    assert refund.status == Status.UNKNOWN
    assert refund.unknown_since
    assert refund.next_action_at > timezone.now()
    assert desk.sums(transaction) == (2_500, 0)
    assert desk.given_back(transaction) == ([2_500] if when == "after" else [])
    attempt = refund.attempts.get()
    assert attempt.state == AttemptState.AMBIGUOUS
    assert attempt.exchanges


def test_a_payment_that_the_processor_does_not_know_is_refused_by_it(desk: Desk):
    transaction = desk.pay()
    unknown = "9" * 11 if desk.processor in {"authorizenet", "nmi"} else "ch_9ABCDEFGHIJKLM"
    with triggers_off():
        Transaction.objects.filter(pk=transaction.pk).update(external_id=unknown)
    transaction.refresh_from_db()
    refund = sent(desk.ask(transaction, 2_500))
    assert (refund.status, refund.failure_code) == (Status.FAILED, "payment_not_found")


@pytest.mark.parametrize("desk", ["stripe", "paypal"], indirect=True)
def test_another_amount_in_the_answer_is_unknown(desk: Desk):
    """The other two repeat no amount."""
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "wrong_echo", "after")
    assert sent(refund).status == Status.UNKNOWN


def test_a_processor_that_cannot_be_reached_costs_nothing(desk: Desk):
    """The breaker opens at the third silence; from then on refunds wait and use nothing up."""
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.account.base_url = f"http://127.0.0.1:9/{desk.processor}"
    desk.account.save()
    for number in (1, 2, 2, 2):
        due(refund)
        sent(refund)
        assert refund.attempts.count() == number
        assert refund.attempts.latest("number").state == AttemptState.NOT_SENT
        assert (refund.status, refund.unfinished) == (Status.QUEUED, 0)
        assert refund.next_action_at > timezone.now()
    desk.account.base_url = f"{desk.sandbox.url}/{desk.processor}"
    desk.account.save()
    CircuitBreaker.objects.update(retry_at=timezone.now())
    due(refund)
    assert sent(refund).status == Status.SUCCEEDED
    assert desk.given_back(transaction) == [2_500]
    assert not CircuitBreaker.objects.exclude(retry_at=None).exists()


@only_stripe
def test_a_refund_that_is_turned_away_five_times_fails(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    for number in range(1, 6):
        due(refund)
        refund.refresh_from_db()
        attempt = execution.claim(refund, Operation.REFUND)
        assert attempt
        turned_away = NotSent("Too many requests.", reason="rate_limited")
        refund = record_answer(attempt, attempt.fence, turned_away)
        assert refund.status == (Status.QUEUED if number < 5 else Status.FAILED)
    assert refund.failure_code == "rate_limited"
    assert desk.sums(transaction) == (0, 0)


def test_rejected_credentials_pause_the_account_and_keep_the_refund(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    wrong = {name: "0" + value[1:] for name, value in _credentials(desk).items()}
    if desk.processor == "stripe":
        wrong["api_key"] = "sk_test_wrong"
    desk.account.set_credentials(wrong)
    desk.account.save()
    sent(refund)
    desk.account.refresh_from_db()
    assert refund.status == Status.QUEUED
    assert desk.account.paused_reason
    case = Attention.objects.get(kind=AttentionKind.ACCOUNT_PAUSED, closed_at=None)
    assert (case.account, case.refund) == (desk.account, None)
    assert refund.attempts.get().state == AttemptState.NOT_SENT
    due(refund)
    sent(refund)
    assert refund.attempts.count() == 1  # no storm while it is paused
    desk.account.set_credentials(_credentials(desk))
    desk.account.paused_reason = ""
    desk.account.save()
    due(refund)
    assert sent(refund).status == Status.SUCCEEDED
    assert desk.given_back(transaction) == [2_500]


@pytest.mark.parametrize("what", ["429", "401", "403"])
def test_what_was_turned_away_and_made_all_the_same_is_not_made_again(desk: Desk, what):
    """Processors promise that nothing runs then; where one breaks it, the money goes back once."""
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", what, "after")
    sent(refund)
    assert desk.given_back(transaction) == [2_500]
    if refund.status == Status.QUEUED:
        desk.account.paused_reason = ""
        desk.account.save()
        due(refund)
        sent(refund)
        assert refund.status == Status.SUCCEEDED
        (made,) = desk.sandbox.ledger.refunds
        case = Attention.objects.get(refund=refund)
        assert case.evidence == {"refund": made, "amount": str(refund.amount)}
        assert made in case.reason
        assert "Nothing was sent again" in refund.attempts.last().processor_message
        assert desk.sums(transaction) == (0, 2_500)
    assert desk.given_back(transaction) == [2_500]


@only_stripe
def test_what_an_earlier_attempt_made_of_another_amount_waits_for_a_person(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "429")
    sent(refund)
    reference = refund.attempts.get().reference
    made = desk.post("refunds", payment_id=transaction.external_id, amount="5.00")["refund"]
    metadata = {REFERENCE_KEY: reference}
    desk.sandbox.ledger.refunds[made["id"]].extra["metadata"] = metadata
    due(refund)
    sent(refund)
    assert refund.status == Status.QUEUED
    assert refund.next_action_at > timezone.now()
    assert reference in refund.attention_reason
    assert desk.given_back(transaction) == [500]


def _credentials(desk: Desk) -> dict[str, str]:
    return desk.sandbox.ledger.accounts[desk.name].credentials


@only_stripe
def test_missing_credentials_fail_with_a_sentence(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    desk.account.set_credentials({})
    desk.account.save()
    sent(refund)
    assert (refund.status, refund.failure_code) == (Status.FAILED, "bad_request")
    assert "lacks api_key" in refund.failure_message


@only_settling
def test_a_whole_unsettled_payment_is_voided(desk: Desk):
    transaction = desk.pay(status="captured")
    refund = sent(desk.ask(transaction, 10_000))
    assert (refund.status, refund.operation) == (Status.SUCCEEDED, "void")
    transaction.refresh_from_db()
    assert transaction.status == "voided"
    assert (transaction.refundable_minor, transaction.refund_state) == (0, "full")
    assert desk.pull(transaction.external_id).status == "voided"


@only_settling
def test_a_part_of_an_unsettled_payment_waits_for_settlement(desk: Desk):
    transaction = desk.pay(status="captured")
    refund = sent(desk.ask(transaction, 4_000))
    assert refund.status == Status.QUEUED
    assert refund.next_action_at > timezone.now()
    assert not refund.attempts.exists()
    assert refund.events.filter(kind="waits_for_settlement").count() == 1
    desk.change(transaction, status="settled")
    due(refund)
    sent(refund)
    assert (refund.status, refund.operation) == (Status.SUCCEEDED, "refund")
    assert desk.given_back(transaction) == [4_000]


@only_settling
def test_a_void_becomes_a_refund_when_the_payment_settled_meanwhile(desk: Desk):
    transaction = desk.pay(status="captured")
    refund = desk.ask(transaction, 10_000)
    assert refund.operation == "void"
    desk.change(transaction, status="settled")
    sent(refund)
    assert (refund.status, refund.operation) == (Status.SUCCEEDED, "refund")


@only_stripe
def test_who_may_no_longer_refund_sends_nothing(desk: Desk, agent):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    agent.is_active = False
    agent.save()
    sent(refund)
    assert refund.status == Status.CANCELED
    assert refund.attention_reason
    assert desk.given_back(transaction) == []
    assert desk.sums(transaction) == (0, 0)


def forget(refund: Refund) -> None:
    """What a restore leaves of a refund that was sent after the backup."""
    restored = {"status": Status.QUEUED, "processor_refund_id": None, "finished_at": None}
    with triggers_off():
        RefundAttempt.objects.filter(refund=refund).delete()
        Refund.objects.filter(pk=refund.pk).update(**restored, look_up_first=True)
        Transaction.objects.filter(pk=refund.transaction_id).update(
            status="captured" if refund.operation == "void" else "settled",
            reserved_minor=refund.amount_minor,
            refunded_minor=0,
        )
    due(refund)


def test_after_a_restore_what_was_sent_is_found_and_not_sent_again(desk: Desk):
    lose_in_a_restore(desk, desk.ask(desk.pay(), 10_000))


@only_settling
def test_after_a_restore_a_void_is_found_and_not_sent_again(desk: Desk):
    lose_in_a_restore(desk, desk.ask(desk.pay(status="captured"), 10_000))


def lose_in_a_restore(desk: Desk, refund: Refund) -> None:
    transaction = refund.transaction
    assert sent(refund).status == Status.SUCCEEDED
    went_back, known = desk.given_back(transaction), refund.processor_refund_id
    forget(refund)
    assert sent(refund).status == Status.SUCCEEDED
    assert refund.processor_refund_id == known
    assert desk.given_back(transaction) == went_back
    assert desk.sums(transaction) == (0, 10_000)


def test_after_a_restore_what_was_not_sent_goes_out_once(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    Refund.objects.filter(pk=refund.pk).update(look_up_first=True)
    assert sent(refund).status == Status.SUCCEEDED
    assert not refund.look_up_first
    assert desk.given_back(transaction) == [2_500]


def test_a_held_account_sends_nothing(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    desk.account.held_reason = "Restored from a backup."
    desk.account.save()
    for _ in range(2):
        due(refund)
        assert sent(refund).status == Status.QUEUED
    assert refund.unfinished == 0
    assert refund.events.filter(kind="account_paused").count() == 1
    assert desk.given_back(refund.transaction) == []
