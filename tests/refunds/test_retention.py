"""What is let go after its time: a few at a time, and what is needed stays."""

from datetime import timedelta

import pytest
from django.utils import timezone

from refunds import retention
from refunds.models import Refund, RefundAttempt, WebhookEvent, WebhookState
from refunds.states import Status
from refunds.tasks import forget
from tests.refunds.states import add_attempt, bring
from tests.rest import make_account, make_case, make_refund, make_transaction
from transactions.models import Customer, Transaction

pytestmark = pytest.mark.django_db

EXCHANGE = {"at": "2026-01-01", "method": "POST", "status": 200, "request": "a", "response": "b"}


def days_ago(days):
    return timezone.now() - timedelta(days=days)


def make_customer(email, last_paid):
    customer = Customer.objects.create(email=email, name="Ana")
    Customer.objects.filter(pk=customer.pk).update(created_at=days_ago(999))
    make_transaction(customer=customer, customer_email=email, created_at=days_ago(last_paid))
    return customer


def make_webhook(account, event_id, received):
    return WebhookEvent.objects.create(
        account=account, mode="test", event_id=event_id, body_sha256=b"0" * 32,
        state=WebhookState.PROCESSED if event_id else WebhookState.REJECTED,
        received_at=days_ago(received),
    )  # fmt: skip


def erased():
    return set(Customer.objects.filter(erased_at__isnull=False).values_list("pk", flat=True))


def test_without_a_limit_everything_is_kept(settings):
    make_customer("old@example.com", 900)
    make_webhook(make_account(), None, 900)
    assert not retention.forget().total()
    assert (erased(), WebhookEvent.objects.count()) == (set(), 1)


def test_customers_who_have_not_paid_for_so_long_are_erased(settings):
    settings.RETAIN_CUSTOMERS_DAYS = 365
    old, new = make_customer("old@example.com", 366), make_customer("new@example.com", 364)
    busy = make_customer("busy@example.com", 400)
    waiting = make_refund(Transaction.objects.get(customer=busy), 100)
    forget()
    assert erased() == {old.pk}
    assert not retention.forget()["customers"]  # the one with a refund under way waits
    bring(waiting, Status.FAILED)
    forget()
    assert erased() == {old.pk, busy.pk}
    new.refresh_from_db()
    assert new.name == "Ana"


def test_a_pass_takes_a_few_and_the_next_one_goes_on(settings, monkeypatch):
    monkeypatch.setattr(retention, "_CUSTOMERS", 2)
    settings.RETAIN_CUSTOMERS_DAYS = 30
    for number in range(5):
        make_customer(f"{number}@example.com", 40)
    assert [retention.forget()["customers"] for _ in range(4)] == [2, 2, 1, 0]


def test_bodies_of_evidence_go_after_the_refund_has_ended_for_so_long(settings):
    settings.RETAIN_EVIDENCE_DAYS = 90
    payment = make_transaction()
    ended, fresh, open_case = (bring(make_refund(payment, 100), Status.FAILED) for _ in range(3))
    Refund.objects.update(finished_at=days_ago(91))
    Refund.objects.filter(pk=fresh.pk).update(finished_at=days_ago(89))
    make_case(open_case, "missing")
    for refund in (ended, fresh, open_case):
        add_attempt(refund, "declined", exchanges=[EXCHANGE, EXCHANGE | {"status": 500}])
    assert retention.forget()["evidence"] == 1
    told = {each.refund_id: each.exchanges for each in RefundAttempt.objects.all()}
    assert told[ended.pk] == [
        EXCHANGE | {"request": "[erased]", "response": "[erased]"},
        EXCHANGE | {"request": "[erased]", "response": "[erased]", "status": 500},
    ]
    assert told[fresh.pk][0] == told[open_case.pk][0] == EXCHANGE
    assert retention.forget()["evidence"] == 0


def test_deliveries_that_were_rejected_go_and_verified_ones_stay(settings):
    settings.RETAIN_REJECTED_WEBHOOKS_DAYS = 30
    account = make_account()
    kept = {make_webhook(account, "evt_1", 99).pk, make_webhook(account, None, 29).pk}
    make_webhook(account, None, 31)
    assert retention.forget()["webhooks"] == 1
    assert set(WebhookEvent.objects.values_list("pk", flat=True)) == kept


def test_those_who_cannot_be_erased_keep_no_others_from_it(settings, monkeypatch):
    monkeypatch.setattr(retention, "_CUSTOMERS", 2)
    settings.RETAIN_CUSTOMERS_DAYS = 365
    for number in range(2):
        busy = make_customer(f"busy{number}@example.com", 400)
        refund = make_refund(Transaction.objects.get(customer=busy), 100)
        make_case(bring(refund, Status.FAILED), "missing")
    old = make_customer("old@example.com", 400)
    for _pass in range(3):
        forget()
    assert erased() == {old.pk}
