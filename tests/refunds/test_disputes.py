"""Disputes: a case for each that is news, and none when it is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.registry import open_gateway
from refunds.disputes import raise_disputes
from refunds.execution import send_refund
from refunds.models import Attention, AttentionKind
from refunds.sync import sync_account
from tests.transactions.scripted import payment
from transactions.models import Transaction
from transactions.sync import refresh_payment
from transactions.upsert import store_payments

from .desk import Desk

pytestmark = pytest.mark.django_db


def cases() -> list[Attention]:
    return list(Attention.objects.filter(kind=AttentionKind.DISPUTED, closed_at__isnull=True))


@pytest.fixture
def disputed(make_account):
    """Make a payment that comes in undisputed, then disputed, then as the test wants."""
    account = make_account("stripe")

    def make(external_id: str = "ch_1", *states: bool) -> Transaction:
        for state in states:
            store_payments(account, [payment(external_id, disputed=state)])
        return Transaction.objects.get(external_id=external_id)

    return make


def test_a_payment_that_becomes_disputed_is_put_before_a_person_once(disputed, approver):
    transaction = disputed("ch_1", False, True)
    assert transaction.disputed_at is not None
    assert raise_disputes() == 1
    assert raise_disputes() == 0
    (case,) = cases()
    assert (case.subject, case.transaction) == (f"transaction:{transaction.pk}", transaction)
    assert case.owner == approver
    assert case.reason == (
        "This payment of 10.00 USD is disputed, and cannot be refunded meanwhile. Answer the "
        "dispute at the processor."
    )


def test_a_dispute_that_is_over_closes_its_case_and_a_new_one_opens_another(disputed):
    disputed("ch_1", False, True)
    raise_disputes()
    disputed("ch_1", False)
    assert raise_disputes() == 0
    assert cases() == []
    assert Attention.objects.get().outcome == "The dispute is over."
    disputed("ch_1", True)
    assert raise_disputes() == 1


@pytest.mark.django_db(transaction=True)  # whose clock stands still while it lasts
def test_what_a_person_has_closed_stays_closed_until_the_next_dispute(disputed, approver):
    disputed("ch_1", False, True)
    raise_disputes()
    Attention.objects.update(closed_at=timezone.now(), closed_by=approver, outcome="Answered.")
    assert raise_disputes() == 0
    disputed("ch_1", False, True)
    assert raise_disputes() == 1


def test_disputes_of_the_first_import_are_history(disputed):
    disputed("ch_1", True)
    assert raise_disputes() == 0


def test_a_list_that_names_no_disputes_says_nothing_of_when_one_began(make_account):
    """What is read by itself for the first time, after such a list, may be disputed for long."""
    account = make_account("paypal")
    store_payments(account, [payment("8AB1", has_details=False)])
    store_payments(account, [payment("8AB1", disputed=True)])
    assert raise_disputes() == 0
    store_payments(account, [payment("8AB1")])
    store_payments(account, [payment("8AB1", has_details=False)])
    store_payments(account, [payment("8AB1", disputed=True)])
    assert raise_disputes() == 1


def test_a_payment_younger_than_its_account_is_news_however_it_comes_in(disputed):
    transaction = disputed("ch_1", True)
    later = transaction.account.created_at + timedelta(minutes=1)
    Transaction.objects.update(created_at=later)
    assert raise_disputes() == 1


@pytest.mark.parametrize("is_sent", [False, True])
def test_money_that_went_back_from_here_makes_an_old_dispute_news(
    sandbox, ask, transactional_db, is_sent
):
    desk = Desk(sandbox, "stripe", ask)
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    if is_sent:
        send_refund(refund.pk)
    Transaction.objects.update(disputed=True)
    assert raise_disputes() == 1
    (case,) = cases()
    assert ("25.00 USD of it went back already" in case.reason) is is_sent
    assert ("a refund of 25.00 USD is under way" in case.reason) is not is_sent


def test_disputes_at_the_processors_are_found_by_reading_the_payment(desk: Desk):
    transaction = desk.pay()
    desk.change(transaction, dispute="open")
    refresh_payment(transaction, open_gateway(desk.account))
    assert transaction.disputed
    assert raise_disputes() == 1
    desk.change(transaction, dispute="")
    refresh_payment(transaction, open_gateway(desk.account))
    raise_disputes()
    assert cases() == []


@pytest.mark.parametrize("desk", ["stripe", "authorizenet", "nmi"], indirect=True)
def test_a_sync_finds_new_disputes(desk: Desk):
    transaction = desk.pay()
    desk.change(transaction, dispute="open")
    sync_account(desk.account, since=timezone.now() - timedelta(days=35))
    (case,) = cases()
    assert case.transaction == transaction


@pytest.mark.parametrize("is_news", [False, True])
def test_what_was_disputed_before_the_account_was_first_read_is_history(desk: Desk, is_news):
    long_ago = (timezone.now() - timedelta(days=9)).isoformat()
    made = {"amount_minor": 10_000, "currency": "USD", "status": "settled", "last4": "4242"}
    paid = desk.post("payments", account=desk.name, created_at=long_ago, **made)["payment"]["id"]
    if is_news:
        sync_account(desk.account)
    desk.post("payments", account=desk.name, payment_id=paid, dispute="open")
    sync_account(desk.account)
    transaction = Transaction.objects.get(external_id=paid)
    refresh_payment(transaction, open_gateway(desk.account))
    assert transaction.disputed
    raise_disputes()
    assert len(cases()) == is_news
