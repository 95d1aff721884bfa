"""Faults of answers: none, too late, broken, of something else, or that prove nothing."""

from __future__ import annotations

import socket

import pytest

from refunds.models import AttentionKind
from refunds.states import AttemptState, Status
from tests.refunds.desk import KEYED

from .play import assert_agreement, looked_up, sent

keyed = pytest.mark.parametrize("desk", KEYED, indirect=True)
only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@pytest.fixture
def impatient(settings):
    """A processor's silence ends after a second."""
    settings.PROVIDER_TIMEOUT_SECONDS = 1


def test_f10_a_time_out_after_processing_is_found_once(desk, impatient):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "silence", "after")
    assert sent(refund).status == Status.UNKNOWN
    assert looked_up(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


@pytest.mark.parametrize("what", ["500", "502_html"])
def test_f11_a_fault_after_processing_is_looked_up_and_not_believed(desk, what):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", what, "after")
    assert sent(refund).status == Status.UNKNOWN
    assert looked_up(refund).status == Status.SUCCEEDED
    assert refund.attempts.get().sends == 1
    assert_agreement(desk, transaction, 2_500)


@pytest.mark.parametrize("what", ["500", "502_html"])
def test_f12_a_fault_before_processing_is_open_too_and_sent_once_more(desk, what):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", what, "before")
    assert sent(refund).status == Status.UNKNOWN
    looked_up(refund)
    if desk.processor in KEYED:
        assert refund.status == Status.SUCCEEDED
        assert_agreement(desk, transaction, 2_500)
    else:
        assert refund.status == Status.UNKNOWN  # held, with its money, for two people
        assert desk.sums(transaction) == (2_500, 0)
        assert_agreement(desk, transaction)


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def no_name() -> str:
    return "https://nowhere.invalid"


@pytest.mark.parametrize("address", [closed_port, no_name])
def test_f13_what_could_not_be_reached_was_not_sent(desk, address, settings):
    settings.PROVIDER_TEST_HOSTS = ["127.0.0.1", "nowhere.invalid"]
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    good = desk.account.base_url
    desk.account.base_url = address()
    desk.account.save()
    assert sent(refund).status == Status.QUEUED
    assert refund.attempts.get().state == AttemptState.NOT_SENT
    assert refund.attention_reason is None
    desk.account.base_url = good
    desk.account.save()
    assert sent(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


def test_f14_a_reset_is_open_and_nothing_is_sent_again_behind_our_back(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "reset", "after")
    before = desk.calls("refund")
    assert sent(refund).status == Status.UNKNOWN
    assert desk.calls("refund") == before + 1
    assert looked_up(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


@only_stripe
def test_f15_too_many_requests_wait_and_go_out_once(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "429", times=3, seconds=7)
    for number in range(1, 4):
        assert sent(refund).status == Status.QUEUED
        assert refund.attempts.count() == number
    assert sent(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


def test_f16_a_slow_drip_ends_at_the_deadline(desk, impatient):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "drip", "after", seconds=0.4)
    assert sent(refund).status == Status.UNKNOWN
    assert looked_up(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "what", ["malformed", "truncated", "502_html", "empty", "redirect", "huge", "dtd"]
)
def test_f17_what_cannot_be_read_is_open_and_kept_as_evidence(desk, what, when):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", what, when)
    assert sent(refund).status == Status.UNKNOWN
    [attempt] = refund.attempts.all()
    assert attempt.state == AttemptState.AMBIGUOUS
    assert attempt.processor_message
    evidence = attempt.exchanges[-1]
    assert evidence["request"]
    assert len(evidence["response"]) < 50_000
    for secret in desk.sandbox.ledger.accounts[desk.name].credentials.values():
        assert secret not in str(attempt.exchanges)
    assert desk.sums(transaction) == (2_500, 0)
    looked_up(refund)
    if when == "after" or desk.processor in KEYED:
        assert_agreement(desk, transaction, 2_500)
    else:
        assert_agreement(desk, transaction)


def test_f18_an_answer_about_something_else_is_never_a_success_nor_a_failure(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "wrong_echo", "after")
    assert sent(refund).status == Status.UNKNOWN
    assert refund.attempts.get().exchanges
    assert desk.sums(transaction) == (2_500, 0)
    assert looked_up(refund).status == Status.SUCCEEDED  # the processor's own record is right
    assert_agreement(desk, transaction, 2_500)


@keyed
def test_f18_another_amount_in_its_record_is_put_before_a_person(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "reset", "after")
    sent(refund)
    [made] = [row for row in desk.sandbox.ledger.refunds.values() if row.account == desk.name]
    made.amount_minor = 2_400
    assert looked_up(refund).status == Status.UNKNOWN
    assert refund.cases.get().kind == AttentionKind.AMOUNT_DIFFERS
    assert desk.sums(transaction) == (2_500, 0)


DUPLICATES = {
    "stripe": "idempotency_key_in_use",
    "paypal": "DUPLICATE_INVOICE_ID",
    "authorizenet": "11",
    "nmi": "430",
}


@pytest.mark.parametrize("earlier", ["ours", "outside", "none"])
def test_f19_already_there_is_looked_up_whose_it_is(desk, earlier):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    if earlier == "outside":
        desk.post("refunds", payment_id=transaction.external_id, amount="10.00")
    when = "after" if earlier == "ours" else "before"
    desk.arm("refund", "refusal", when, code=DUPLICATES[desk.processor])
    assert sent(refund).status == Status.UNKNOWN
    looked_up(refund)
    expected = {"ours": [2_500], "outside": [1_000], "none": []}[earlier]
    if earlier != "ours" and desk.processor in KEYED:
        expected.append(2_500)  # not found: sent once more under its key
    assert sorted(desk.given_back(transaction)) == sorted(expected)
    assert (refund.status == Status.SUCCEEDED) == (2_500 in expected)


@keyed
def test_f19_fully_refunded_after_a_lost_answer_is_our_own(desk):
    codes = {"stripe": "charge_already_refunded", "paypal": "CAPTURE_FULLY_REFUNDED"}
    transaction = desk.pay()
    refund = desk.ask(transaction, 10_000)
    desk.arm("refund", "reset", "before")
    sent(refund)
    desk.arm("refund", "refusal", "after", code=codes[desk.processor])
    assert looked_up(refund).status == Status.UNKNOWN  # it was sent before: that proves nothing
    assert looked_up(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 10_000)
