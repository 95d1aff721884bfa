"""Faults of the outside world: dashboards, lists that lag, disputes, refunds that come back."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from datetime import timedelta
from urllib.error import HTTPError

import pytest
from django.utils import timezone

from refunds.models import AttentionKind, Reconciliation, Refund
from refunds.reconciliation import ReconciliationFailed, reconcile
from refunds.states import Origin, Status
from refunds.sync import sync_account
from tests.scripts import run_script

from .play import assert_agreement, due, looked_up, recovered, sent

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@pytest.mark.parametrize("outside", [5_000, 8_000])
@pytest.mark.parametrize(
    "failpoint", ["after-claim", "after-attempt-commit", "after-send", "before-result-commit"]
)
def test_f31_a_refund_in_the_dashboard_races_ours(desk, failpoint, outside):
    transaction = desk.pay()
    refund = desk.ask(transaction, 4_000)
    due(refund)
    with pytest.raises(subprocess.CalledProcessError):
        run_script(
            f"from refunds.execution import send_refund; send_refund('{refund.pk}')",
            CRASH_AT=failpoint,
        )
    with suppress(HTTPError):  # refused there, where ours came first and took too much
        desk.post("refunds", payment_id=transaction.external_id, amount_minor=outside)
    refund.refresh_from_db()
    recovered(refund)
    sync_account(desk.account)
    looked_up(refund)
    back = desk.given_back(transaction)
    assert sum(back) <= 10_000
    assert back.count(4_000) <= 1
    ours = Refund.objects.filter(transaction=transaction, status=Status.SUCCEEDED)
    assert sum(ours.values_list("amount_minor", flat=True)) == sum(back)
    if outside in back:
        assert ours.get(origin=Origin.EXTERNAL).amount_minor == outside


def test_f41_a_dispute_that_is_opened_meanwhile_stops_the_refund(desk):
    if desk.processor == "nmi":
        return  # it does not tell of disputes in what it lists
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.change(transaction, dispute="open")
    sent(refund)
    assert (refund.status, refund.failure_code) == (Status.FAILED, "disputed")
    assert refund.attempts.get().sends == 0
    assert_agreement(desk, transaction)


@pytest.mark.parametrize("desk", ["stripe", "paypal"], indirect=True)
def test_f42_a_refund_that_fails_later_gives_the_balance_back(desk):
    transaction = desk.pay()
    refund = sent(desk.ask(transaction, 2_500))
    assert desk.sums(transaction) == (0, 2_500)
    desk.post("refunds", refund_id=refund.processor_refund_id, status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    refund.refresh_from_db()
    assert refund.status == Status.RETURNED
    assert refund.cases.get().kind == AttentionKind.RETURNED
    assert desk.sums(transaction) == (0, 0)
    transaction.refresh_from_db()
    assert transaction.refundable_minor == 10_000


@only_stripe
def test_f39_a_page_that_fails_is_read_again_and_nothing_counts_as_missing(desk):
    transaction = desk.pay(50_000)
    ours = sent(desk.ask(transaction, 777))
    for _ in range(110):  # a page holds a hundred
        desk.post("refunds", payment_id=transaction.external_id, amount_minor=100)
    since = timezone.now() - timedelta(hours=1)
    desk.arm("list_refunds", "502_html", match="starting_after")
    with pytest.raises(ReconciliationFailed):
        reconcile(desk.account, since=since)
    row = Reconciliation.objects.get()
    assert row.finished_at is None
    assert row.cursor["page"]
    assert Refund.objects.filter(origin=Origin.EXTERNAL).count() <= 100
    assert reconcile(desk.account).missing == 0
    row.refresh_from_db()
    assert row.finished_at
    ours.refresh_from_db()
    assert ours.status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 777, *[100] * 110)


@pytest.mark.parametrize("desk", ["paypal"], indirect=True)
def test_f39_a_list_that_lags_makes_nothing_failed(desk):
    transaction = desk.pay()
    refund = sent(desk.ask(transaction, 2_500))
    tally = reconcile(desk.account, since=timezone.now() - timedelta(hours=1))
    assert tally.missing == 0
    refund.refresh_from_db()
    assert refund.status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)
