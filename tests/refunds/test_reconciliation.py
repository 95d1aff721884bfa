"""Our refunds and a processor's, compared both ways."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connections
from django.db import transaction as database
from django.utils import timezone

from gateways.base import Operation, Page, RefundResult, RefundState
from gateways.errors import NotSent, OutcomeUnknown
from gateways.registry import open_gateway
from refunds import reconciliation
from refunds.delivery import claim
from refunds.execution import send_refund
from refunds.models import Attention, AttentionKind, Reconciliation, Refund, RefundAttempt
from refunds.reconciliation import (
    FAR_BACK,
    ReconciliationBusy,
    ReconciliationFailed,
    Tally,
    cases_of,
    reconcile,
)
from refunds.recording import record_answer
from refunds.states import Status
from refunds.transitions import lock_refund, move
from tests.scripts import run_script
from tests.transactions.scripted import ScriptedGateway, reported
from transactions.models import Transaction

from .desk import Desk
from .reports import in_ledger, open_kinds, stored

pytestmark = pytest.mark.django_db

K = AttentionKind
only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


def send(desk: Desk, transaction: Transaction, minor: int) -> Refund:
    transaction.refresh_from_db()
    refund = desk.ask(transaction, minor)
    send_refund(refund.pk)
    refund.refresh_from_db()
    return refund


def believe(desk: Desk, transaction: Transaction, refund_id: str, *, ago: timedelta) -> Refund:
    """A refund that we have as made, some time ago, and that the processor never heard of."""
    refund = desk.ask(transaction, 500)
    attempt = claim(refund, Operation.REFUND)
    record_answer(
        attempt, attempt.fence, RefundResult(RefundState.SUCCEEDED, refund_id, refund.amount)
    )
    sent_at = timezone.now() - ago
    RefundAttempt.objects.filter(pk=attempt.pk).update(first_sent_at=sent_at)
    refund.refresh_from_db()
    return refund


def pass_hours() -> None:
    """Make all sends look older than any processor's lag. The guard would refuse that."""
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE refunds_refundattempt DISABLE TRIGGER attempt_guard")
        RefundAttempt.objects.update(first_sent_at=timezone.now() - timedelta(hours=5))
        cursor.execute("ALTER TABLE refunds_refundattempt ENABLE TRIGGER attempt_guard")


# --- both ways ---------------------------------------------------------------------------------


def test_every_refund_there_is_one_row_here_and_every_row_one_refund_there(desk: Desk):
    inside, outside = desk.pay(last4="1881"), desk.pay(last4="4444")
    ours = send(desk, inside, 4_000)
    desk.post("refunds", payment_id=outside.external_id, amount_minor=2_500)
    tally = reconcile(desk.account)
    assert (tally.recorded, tally.missing, tally.unplaced) == (1, 0, 0)
    assert stored(desk) == in_ledger(desk)
    ours.refresh_from_db()
    assert ours.confirmed_at is not None
    assert open_kinds(desk.account) == [K.MADE_OUTSIDE]
    again = reconcile(desk.account)
    assert (again.compared, again.equal) == (2, 2)
    assert open_kinds(desk.account) == [K.MADE_OUTSIDE]
    assert cases_of(desk.account) == 1


def test_a_refund_that_failed_since_is_found_weeks_later(desk: Desk):
    transaction = desk.pay()
    refund = send(desk, transaction, 4_000)
    desk.post("refunds", refund_id=refund.processor_refund_id, status="failed")
    tally = reconcile(desk.account, since=timezone.now() - FAR_BACK)
    assert tally.followed == 1
    refund.refresh_from_db()
    assert refund.status == Status.RETURNED
    assert desk.sums(transaction) == (0, 0)
    assert open_kinds(desk.account) == [K.RETURNED]


@only_stripe
@pytest.mark.parametrize(("ends", "status"), [("failed", "failed"), ("succeeded", "succeeded")])
def test_a_refund_that_was_pending_for_days_is_followed(desk: Desk, ends, status):
    transaction = desk.pay(last4="7726")
    refund = send(desk, transaction, 4_000)
    assert refund.status == Status.PENDING
    desk.post("refunds", refund_id=refund.processor_refund_id, status=ends)
    desk.post("clock", advance_seconds=4 * 86_400)
    reconcile(desk.account)
    refund.refresh_from_db()
    assert refund.status == status
    assert desk.sums(transaction) == ((0, 4_000) if ends == "succeeded" else (0, 0))


@only_stripe
def test_a_refund_that_succeeds_and_then_fails_by_itself_is_returned(desk: Desk):
    transaction = desk.pay(last4="5126")
    refund = send(desk, transaction, 4_000)
    assert refund.status == Status.SUCCEEDED
    desk.post("clock", advance_seconds=86_400)
    reconcile(desk.account)
    refund.refresh_from_db()
    assert refund.status == Status.RETURNED
    assert desk.sums(transaction) == (0, 0)


# --- ours that they do not know ----------------------------------------------------------------


def test_what_the_processor_does_not_know_needs_a_person_and_is_never_failed(desk: Desk):
    transaction = desk.pay()
    refund = believe(desk, transaction, "777000111", ago=timedelta(hours=5))
    tally = reconcile(desk.account)
    assert (tally.asked, tally.missing) == (1, 1)
    refund.refresh_from_db()
    assert refund.status == Status.SUCCEEDED
    assert refund.attention_reason.startswith("It counts as “Succeeded” here, and the processor")
    assert open_kinds(desk.account) == [K.MISSING]
    assert refund.attempts.get().exchanges
    reconcile(desk.account, since=timezone.now() - FAR_BACK)
    assert open_kinds(desk.account) == [K.MISSING]


def test_what_may_not_be_listed_yet_is_not_missed(desk: Desk):
    lag = open_gateway(desk.account).capabilities.lookup_lag
    believe(desk, desk.pay(), "777000111", ago=lag - timedelta(minutes=1))
    assert reconcile(desk.account).asked == 0
    assert open_kinds(desk.account) == []


@pytest.mark.parametrize("desk", ["paypal", "authorizenet", "nmi"], indirect=True)
def test_what_no_list_shows_is_asked_for_alone(desk: Desk):
    transaction = desk.pay()
    desk.show_late(3600)
    refund = send(desk, transaction, 4_000)
    pass_hours()
    tally = reconcile(desk.account)
    if desk.processor == "nmi":  # which shows it nowhere before the lag is over
        assert (tally.asked, tally.missing) == (1, 1)
        desk.post("clock", advance_seconds=7200)
        assert reconcile(desk.account, since=timezone.now() - FAR_BACK).missing == 0
    else:
        assert (tally.asked, tally.missing, tally.equal) == (1, 0, 1)
    assert open_kinds(desk.account) == []
    assert Refund.objects.get() == refund


@only_stripe
def test_what_came_back_while_it_was_asked_for_is_not_missed(desk: Desk, monkeypatch):
    """A webhook tells so between the answer and what is made of it."""
    refund = believe(desk, desk.pay(), "777000111", ago=timedelta(hours=5))
    look_for = reconciliation._Comparison._look_for

    def look_while_it_comes_back(comparison, asked):
        found = look_for(comparison, asked)
        with database.atomic():
            move(lock_refund(asked.pk), Status.RETURNED, "returned")
        return found

    monkeypatch.setattr(reconciliation._Comparison, "_look_for", look_while_it_comes_back)
    tally = reconcile(desk.account)
    assert (tally.asked, tally.missing) == (1, 0)
    assert K.MISSING not in open_kinds(desk.account)
    assert refund.attempts.get().exchanges


@only_stripe
def test_a_refund_in_a_workers_turn_is_not_hurried(desk: Desk):
    transaction = desk.pay()
    desk.arm("refund", "reset", "after")
    refund = send(desk, transaction, 4_000)
    later = timezone.now() + timedelta(seconds=120)
    Refund.objects.filter(pk=refund.pk).update(next_action_at=later, unfinished=1)
    reconciliation._hurry_unknown(desk.account)
    refund.refresh_from_db()
    assert refund.next_action_at == later


@only_stripe
def test_a_case_that_a_person_has_closed_is_not_raised_again(desk: Desk, approver):
    believe(desk, desk.pay(), "re_nowhere", ago=timedelta(hours=5))
    reconcile(desk.account)
    Attention.objects.update(closed_at=timezone.now(), closed_by=approver, outcome="Seen.")
    Refund.objects.update(attention_reason=None, attention_since=None)
    assert reconcile(desk.account, since=timezone.now() - FAR_BACK).missing == 1
    assert open_kinds(desk.account) == []


def test_unknown_outcomes_are_made_due(desk: Desk):
    desk.arm("refund", "reset", "after")
    transaction = desk.pay()
    refund = send(desk, transaction, 4_000)
    assert refund.status == Status.UNKNOWN
    later = timezone.now() + timedelta(hours=6)
    Refund.objects.filter(pk=refund.pk).update(next_action_at=later)
    desk.arm("list_refunds", "500", times=20)
    desk.arm("get_refund", "500", times=20)
    with suppress(ReconciliationFailed):
        reconcile(desk.account)
    refund.refresh_from_db()
    assert refund.next_action_at is None or refund.next_action_at < later


# --- runs --------------------------------------------------------------------------------------


@pytest.fixture
def scripted(paid, monkeypatch):
    """Make the account's processor list these pages."""

    def script(*pages, **values) -> ScriptedGateway:
        gateway = ScriptedGateway(*pages, **values)
        monkeypatch.setattr(reconciliation, "open_gateway", lambda _account: gateway)
        monkeypatch.setattr(reconciliation, "sync_payments", lambda *_args: None)
        return gateway

    return script


def pages(*numbers: int) -> list[Page]:
    return [Page((reported(f"re_{n}", "ch_1", 100),)) for n in numbers]


def test_a_page_that_fails_is_where_the_next_run_goes_on(paid, scripted):
    one, two, three = pages(1, 2, 3)
    scripted(one, OutcomeUnknown("Half a page."), three)
    with pytest.raises(ReconciliationFailed, match=r"Half a page\."):
        reconcile(paid.account)
    (row,) = Reconciliation.objects.all()
    assert (row.finished_at, row.error, row.cursor) == (None, "Half a page.", {"page": "1"})
    assert row.counts["recorded"] == 1
    gateway = scripted(one, two, three)
    tally = reconcile(paid.account)
    assert gateway.asked[0][2] == "1"
    row.refresh_from_db()
    assert row.finished_at is not None
    assert row.counts["recorded"] == 3
    assert Refund.objects.count() == 3
    newest = Reconciliation.objects.latest("id")
    assert newest.since < row.until < newest.until
    assert (tally.recorded, tally.compared) == (3, 6)


def test_a_run_begins_where_the_last_ended_and_looks_back_over_the_lag(paid, scripted):
    scripted(Page(()))
    reconcile(paid.account)
    first = Reconciliation.objects.get()
    assert timezone.now() - first.since >= FAR_BACK
    reconcile(paid.account)
    second = Reconciliation.objects.latest("id")
    assert first.until - second.since == timedelta(hours=3)
    Reconciliation.objects.update(until=timezone.now() - timedelta(days=2))
    reconcile(paid.account, since=timezone.now() - timedelta(hours=1))
    third = Reconciliation.objects.latest("id")
    assert third.until - third.since > timedelta(days=2)


def test_a_processor_that_lets_nobody_in_stops_the_run_with_its_sentence(paid, scripted):
    scripted(NotSent("The key was revoked.", reason="credentials"))
    with pytest.raises(ReconciliationFailed, match=r"The key was revoked\."):
        reconcile(paid.account)
    assert Reconciliation.objects.get().error == "The key was revoked."


def test_a_record_that_cannot_be_read_is_put_before_a_person_once(paid, scripted):
    from gateways.base import BadRecord

    scripted(Page((), (BadRecord("re_odd", "Its currency is not known."),)))
    assert reconcile(paid.account).unplaced == 1
    reconcile(paid.account)
    case = Attention.objects.get()
    assert case.kind == K.UNPLACED
    assert case.reason.endswith("cannot be read: Its currency is not known.")


@only_stripe
def test_a_run_that_was_killed_between_page_and_place_repeats_that_page(desk: Desk):
    transaction = desk.pay()
    desk.post("refunds", payment_id=transaction.external_id, amount_minor=2_500)
    with pytest.raises(subprocess.CalledProcessError) as killed:
        run_script(
            "from gateways.models import ProcessorAccount\n"
            "from refunds.reconciliation import reconcile\n"
            "reconcile(ProcessorAccount.objects.get())",
            CRASH_AT="in-reconcile-page",
        )
    assert killed.value.returncode == -9
    row = Reconciliation.objects.get()
    assert (row.cursor, row.finished_at) == ({}, None)
    assert Refund.objects.count() == 1
    assert reconcile(desk.account).recorded == 0
    assert stored(desk) == in_ledger(desk)
    assert not Reconciliation.objects.filter(finished_at__isnull=True).exists()


@only_stripe
def test_one_run_at_a_time(desk: Desk):
    def run() -> str:
        try:
            reconcile(desk.account)
        except ReconciliationBusy as error:
            return str(error)
        finally:
            connections.close_all()
        return ""

    with reconciliation._alone(desk.account), ThreadPoolExecutor(1) as pool:
        assert pool.submit(run).result().startswith("Another reconciliation of this account")
    assert not Reconciliation.objects.exists()
    assert isinstance(reconcile(desk.account), Tally)


def test_refunds_without_ids_are_counted_and_none_of_ours_is_missed(sandbox, ask, transactional_db):
    desk = Desk(sandbox, "nmi", ask)
    desk.post("accounts", account=desk.name, refund_shape="B")
    transaction = desk.pay()
    desk.post("refunds", payment_id=transaction.external_id, amount="5.00")
    for minor in (500, 700):
        send(desk, transaction, minor)
    pass_hours()
    tally = reconcile(desk.account)
    assert (tally.compared, tally.recorded, tally.equal) == (3, 1, 2)
    assert (tally.asked, tally.missing) == (0, 0)
    assert sum(desk.sums(transaction)) == 1_700
