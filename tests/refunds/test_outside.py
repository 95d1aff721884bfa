"""Refunds that were made elsewhere: each becomes exactly one row, whatever order things come in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.base import (
    BadRecord,
    Failure,
    FailureCode,
    Operation,
    Page,
    RefundState,
)
from gateways.money import Money
from gateways.registry import open_gateway
from refunds.delivery import claim
from refunds.execution import send_refund
from refunds.models import Refund, RefundAttempt, RefundEvent
from refunds.states import AttemptState, Status
from refunds.sync import RefundReader, sync_account
from tests.transactions.scripted import PAID_AT, ScriptedGateway, payment, reported
from transactions.models import SyncState, Transaction
from transactions.upsert import store_payments

from .desk import Desk
from .reports import counted, in_ledger, now_reported, record, stored, sums

pytestmark = pytest.mark.django_db

PENDING, SUCCEEDED, FAILED = RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED
REFUSAL = Failure(FailureCode.DECLINED_BY_BANK, "declined", "The card was closed.")


# --- recorded once -----------------------------------------------------------------------------


def test_a_refund_made_elsewhere_becomes_one_row(paid):
    report = reported("re_1", "ch_1", reference="by hand")
    assert counted(record(paid.account, report)) == (1, 0, 0, 0)
    refund = Refund.objects.get()
    assert (refund.origin, refund.status, refund.operation) == ("external", "succeeded", "refund")
    assert (refund.transaction, refund.account, refund.mode) == (paid, paid.account, "test")
    assert (refund.amount, refund.processor_refund_id) == (Money(500, "USD"), "re_1")
    assert (refund.requested_by, refund.reason, refund.attention_reason) == (None, None, None)
    assert refund.created_at == refund.finished_at == report.created_at
    assert sums(paid) == (0, 500, False)
    event = RefundEvent.objects.get()
    assert (event.kind, event.from_status, event.to_status) == ("recorded_outside", "", "succeeded")
    assert (event.data["refund"], event.data["reference"]) == ("re_1", "by hand")


def test_reading_it_again_changes_nothing(paid):
    report = reported("re_1", "ch_1")
    record(paid.account, report, report)
    assert counted(record(paid.account, report)) == (0, 0, 1, 0)
    assert Refund.objects.count() == 1
    assert RefundEvent.objects.count() == 1
    assert sums(paid) == (0, 500, False)


def test_several_refunds_of_a_payment_add_up(paid):
    counts = record(paid.account, *(reported(f"re_{n}", "ch_1", 250) for n in range(4)))
    assert counts.new == 4
    assert sums(paid) == (0, 1_000, False)
    paid.refresh_from_db()
    assert (paid.refundable_minor, paid.refund_state) == (0, "full")


def test_a_void_made_elsewhere_is_recorded_as_one(paid):
    record(paid.account, reported("re_1", "ch_1", 1_000, operation=Operation.VOID))
    assert Refund.objects.get().operation == "void"
    assert sums(paid) == (0, 1_000, False)


def test_more_than_was_paid_is_recorded_and_shown_to_a_person(paid):
    record(paid.account, reported("re_1", "ch_1", 900), reported("re_2", "ch_1", 200))
    assert sums(paid) == (0, 1_100, True)
    assert Refund.objects.get(processor_refund_id="re_1").attention_reason is None
    over = Refund.objects.get(processor_refund_id="re_2")
    assert over.attention_reason == "More went back than was paid: 11.00 USD of 10.00 USD."
    paid.refresh_from_db()
    assert paid.refundable_minor == 0


def test_an_amount_that_shrinks_below_what_went_back_is_flagged_not_refused(paid):
    record(paid.account, reported("re_1", "ch_1", 900))
    assert store_payments(paid.account, [payment("ch_1", 800)]).changed == 1
    assert sums(paid) == (0, 900, True)


def test_sync_of_the_payment_leaves_the_sums_alone(paid):
    record(paid.account, reported("re_1", "ch_1"), reported("re_2", "ch_1", 100, state=PENDING))
    store_payments(paid.account, [payment("ch_1", description="A lamp")])
    assert sums(paid) == (100, 500, False)


# --- later states ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "status", "expected"),
    [
        ([PENDING], "pending", (500, 0)),
        ([FAILED], "failed", (0, 0)),
        ([PENDING, SUCCEEDED], "succeeded", (0, 500)),
        ([PENDING, FAILED], "failed", (0, 0)),
        ([SUCCEEDED, FAILED], "returned", (0, 0)),
        ([PENDING, SUCCEEDED, FAILED], "returned", (0, 0)),
        ([FAILED, SUCCEEDED], "succeeded", (0, 500)),
        ([SUCCEEDED, PENDING], "succeeded", (0, 500)),
        ([FAILED, PENDING], "failed", (0, 0)),
        ([SUCCEEDED, FAILED, SUCCEEDED], "returned", (0, 0)),
        ([PENDING, PENDING], "pending", (500, 0)),
    ],
)
def test_states_move_over_legal_edges_and_the_sums_follow(paid, states, status, expected):
    for state in states:
        failure = REFUSAL if state is FAILED else None
        record(paid.account, reported("re_1", "ch_1", state=state, failure=failure))
    refund = Refund.objects.get()
    assert refund.status == status
    assert sums(paid)[:2] == expected
    assert bool(refund.finished_at) == (status != "pending")
    if status in {"failed", "returned"}:
        assert refund.failure_code == FailureCode.DECLINED_BY_BANK
        assert refund.failure_message == "The card was closed."
    is_odd = status == "returned" or states in ([FAILED, PENDING], [FAILED, SUCCEEDED])
    assert bool(refund.attention_reason) == is_odd


# --- ours --------------------------------------------------------------------------------------


@pytest.fixture
def ours(paid, ask):
    """A refund of ours in a state, and its attempt, as a worker would have left them."""

    def make(status: Status, minor: int = 500, **fields) -> tuple[Refund, RefundAttempt]:
        refund = ask(paid, minor)
        attempt = claim(refund, Operation.REFUND)
        states = {
            Status.SENDING: AttemptState.STARTED,
            Status.UNKNOWN: AttemptState.AMBIGUOUS,
            Status.PENDING: AttemptState.ACCEPTED,
        }
        if status != Status.SENDING:
            now = timezone.now()
            RefundAttempt.objects.filter(pk=attempt.pk).update(state=states[status], ended_at=now)
            Refund.objects.filter(pk=refund.pk).update(
                status=status, lease_owner=None, lease_until=None, unknown_since=now, **fields
            )
        refund.refresh_from_db()
        return refund, RefundAttempt.objects.get(pk=attempt.pk)

    return make


def test_a_report_with_our_reference_proves_what_became_of_our_refund(paid, ours):
    refund, attempt = ours(Status.UNKNOWN)
    assert record(paid.account, now_reported(reference=attempt.reference)).changed == 1
    refund.refresh_from_db()
    assert (refund.status, refund.processor_refund_id) == ("succeeded", "re_1")
    assert Refund.objects.count() == 1
    assert sums(paid) == (0, 500, False)
    assert counted(record(paid.account, now_reported(reference=attempt.reference))) == (0, 0, 1, 0)


def test_a_report_with_the_id_of_our_refund_is_about_that_refund(paid, ours):
    refund, _attempt = ours(Status.PENDING, processor_refund_id="re_1")
    assert record(paid.account, now_reported(state=PENDING)).unchanged == 1
    assert record(paid.account, now_reported()).changed == 1
    refund.refresh_from_db()
    assert refund.status == "succeeded"
    assert record(paid.account, now_reported(state=FAILED, failure=REFUSAL)).changed == 1
    refund.refresh_from_db()
    assert refund.status == "returned"
    assert Refund.objects.count() == 1
    assert sums(paid) == (0, 0, False)


@pytest.mark.parametrize("status", [Status.SENDING, Status.UNKNOWN, Status.PENDING])
@pytest.mark.parametrize("payment_id", ["ch_1", ""])
def test_what_may_be_ours_waits_until_ours_is_clear(paid, ours, status, payment_id):
    refund, _attempt = ours(status)
    report = replace(now_reported(reference="ORDER-1", last4="4242"), payment_id=payment_id)
    assert counted(record(paid.account, report)) == (0, 0, 1, 0)
    assert Refund.objects.get() == refund
    assert sums(paid) == (500, 0, False)


def test_what_cannot_be_ours_does_not_wait(paid, ours):
    _refund, attempt = ours(Status.UNKNOWN)
    counts = record(
        paid.account,
        now_reported("re_1", amount=Money(499, "USD")),
        now_reported("re_2", created_at=attempt.started_at - timedelta(minutes=6)),
    )
    assert counts.new == 2
    assert sums(paid) == (500, 999, True)


def test_a_waiting_report_is_read_again_and_recorded_when_it_was_not_ours(paid, ours):
    refund, attempt = ours(Status.UNKNOWN)
    theirs = now_reported("re_theirs")
    gateway = ScriptedGateway()
    reader = RefundReader(paid.account, gateway)
    assert reader.still_open_since() <= refund.created_at
    assert record(paid.account, theirs).unchanged == 1
    record(paid.account, now_reported("re_ours", reference=attempt.reference))
    assert reader.still_open_since() is None
    assert record(paid.account, theirs).new == 1
    assert sums(paid) == (0, 1_000, False)


def test_a_list_of_refunds_has_bad_records_too(paid):
    rejected = (BadRecord("re_odd", "Its currency is not known."),)
    gateway = ScriptedGateway(Page((reported("re_1", "ch_1"),), rejected))
    counts = RefundReader(paid.account, gateway).run(
        since=PAID_AT, until=PAID_AT + timedelta(days=1)
    )
    assert counted(counts) == (1, 0, 0, 1)
    assert SyncState.objects.get(stream="refunds").rejected == [
        {"external_id": "re_odd", "reason": "Its currency is not known."}
    ]


def test_a_run_goes_back_to_the_oldest_refund_that_is_still_pending(paid):
    record(paid.account, reported("re_1", "ch_1", state=PENDING))
    long_after = PAID_AT + timedelta(days=20)
    SyncState.objects.create(account=paid.account, stream="refunds", synced_until=long_after)
    gateway = ScriptedGateway()
    RefundReader(paid.account, gateway).run(until=long_after + timedelta(minutes=5))
    assert gateway.asked[0][0] < PAID_AT + timedelta(hours=1)


@pytest.mark.parametrize("state", [AttemptState.RULED_OUT, AttemptState.NOT_SENT])
def test_an_attempt_that_counted_as_not_made_is_a_refund_of_its_own(paid, ours, state):
    refund, attempt = ours(Status.UNKNOWN)
    if state == AttemptState.NOT_SENT:
        refund, attempt = ours(Status.SENDING, 400)
    RefundAttempt.objects.filter(pk=attempt.pk).update(state=state, ended_at=timezone.now())
    Refund.objects.filter(pk=refund.pk).update(
        status=Status.QUEUED, lease_owner=None, lease_until=None
    )
    report = now_reported(reference=attempt.reference, amount=refund.amount)
    assert record(paid.account, report).new == 1
    outside = Refund.objects.get(origin="external")
    assert outside.attention_reason == (
        f"Attempt {attempt.reference} counted as not made, and the processor reports it as made."
    )
    assert record(paid.account, report).unchanged == 1
    refund.refresh_from_db()
    assert refund.status == "queued"


def test_what_counts_as_ours_and_fails_before_it_is_final_is_told(paid, ours):
    refund, attempt = ours(Status.SENDING)
    RefundAttempt.objects.filter(pk=attempt.pk).update(state="not_sent", ended_at=timezone.now())
    Refund.objects.filter(pk=refund.pk).update(
        status=Status.QUEUED, lease_owner=None, lease_until=None
    )
    report = now_reported(reference=attempt.reference, amount=refund.amount, state=PENDING)
    assert record(paid.account, report).new == 1
    refund.refresh_from_db()
    assert refund.counts_elsewhere
    assert record(paid.account, replace(report, state=FAILED, failure=REFUSAL)).changed == 1
    outside = Refund.objects.get(origin="external")
    case = outside.cases.get(kind="returned")
    assert "has failed or come back since. If the customer did not get the money" in case.reason
    refund.refresh_from_db()
    assert not refund.counts_elsewhere


def test_a_refused_attempt_that_is_reported_as_failed_changes_nothing(paid, ours):
    refund, attempt = ours(Status.UNKNOWN)
    failed = now_reported(reference=attempt.reference, state=FAILED, failure=REFUSAL)
    assert record(paid.account, failed).changed == 1
    assert record(paid.account, failed).unchanged == 1
    refund.refresh_from_db()
    assert refund.status == "failed"
    assert sums(paid) == (0, 0, False)


def test_a_failure_of_an_attempt_that_was_left_behind_changes_nothing(paid, ours):
    refund, attempt = ours(Status.UNKNOWN)
    RefundAttempt.objects.filter(pk=attempt.pk).update(state=AttemptState.RULED_OUT)
    Refund.objects.filter(pk=refund.pk).update(status=Status.QUEUED)
    failed = now_reported(reference=attempt.reference, state=FAILED, failure=REFUSAL)
    assert counted(record(paid.account, failed)) == (0, 0, 1, 0)
    assert Refund.objects.get().status == "queued"


def test_a_failed_refund_that_the_processor_made_after_all_is_corrected(paid, ours):
    refund, attempt = ours(Status.UNKNOWN)
    record(paid.account, now_reported(reference=attempt.reference, state=FAILED, failure=REFUSAL))
    assert record(paid.account, now_reported(reference=attempt.reference)).changed == 1
    refund.refresh_from_db()
    assert refund.status == "succeeded"
    assert refund.attention_reason
    assert sums(paid) == (0, 500, False)


# --- the four processors -----------------------------------------------------------------------


def test_every_refund_at_the_processor_is_one_row_and_every_row_one_refund(desk: Desk):
    inside, outside = desk.pay(last4="1881"), desk.pay(last4="4444")
    refund = desk.ask(inside, 4_000)
    send_refund(refund.pk)
    desk.post("refunds", payment_id=outside.external_id, amount_minor=2_500)
    desk.post("refunds", payment_id=outside.external_id, amount_minor=1_000)
    report = sync_account(desk.account)
    assert (report.refunds.new, report.refunds.refused) == (2, 0)
    assert stored(desk) == in_ledger(desk)
    assert Refund.objects.filter(origin="external").count() == 2
    assert desk.sums(outside)[1] + desk.sums(outside)[0] == 3_500
    assert desk.sums(inside)[1] + desk.sums(inside)[0] == 4_000
    again = sync_account(desk.account)
    assert (again.refunds.new, again.refunds.changed, again.refunds.refused) == (0, 0, 0)


def test_a_refund_whose_answer_was_lost_stays_one_refund(desk: Desk):
    transaction = desk.pay()
    desk.arm("refund", "reset", "after")
    refund = desk.ask(transaction, 4_000)
    send_refund(refund.pk)
    assert desk.given_back(transaction) == [4_000]
    sync_account(desk.account)
    assert Refund.objects.get() == refund
    assert sum(desk.sums(transaction)) == 4_000


def test_a_payment_and_its_refund_from_before_our_time_come_together(desk: Desk):
    made = desk.post("payments", account=desk.name, amount_minor=5_000, status="settled")
    payment_id = made["payment"]["id"]
    desk.post("refunds", payment_id=payment_id, amount_minor=1_500)
    gateway = open_gateway(desk.account)
    if desk.processor != "nmi":  # which does not name the payment
        assert RefundReader(desk.account, gateway).run().new == 1
    else:
        sync_account(desk.account)
    row = Transaction.objects.get(external_id=payment_id)
    assert row.refunded_minor + row.reserved_minor == 1_500
