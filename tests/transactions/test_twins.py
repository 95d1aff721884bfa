"""Payments that may have been made twice: marked when they are stored, asked about when shown."""

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.base import Payer, Payment, PaymentStatus
from gateways.money import Money
from tests.pages import client_of, visible
from tests.refunds.raw import triggers_off
from tests.rest import make_account, make_person, make_transaction
from transactions.models import Customer, Transaction
from transactions.twins import mark_twins, mark_twins_of, twins_of, with_standing_twin
from transactions.upsert import store_payments

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
PAID_AT = timezone.now() - timedelta(days=2)
WINDOW = timedelta(minutes=60)


@pytest.fixture
def customer():
    return Customer.objects.create(email="ana@example.com", name="Ana Popescu")


@pytest.fixture
def pay(customer):
    def pay(after=timedelta(0), **fields):
        values = {"customer": customer, "created_at": PAID_AT + after} | fields
        return make_transaction(**values)

    return pay


def marked():
    return set(Transaction.objects.filter(has_twin=True))


def mark(*payments):
    for each in payments:
        mark_twins(each.account, [each.external_id])


def report(external_id, minor=2_500, after=timedelta(0)):
    return Payment(
        external_id,
        Money(minor, "USD"),
        PaymentStatus.SETTLED,
        PAID_AT + after,
        payer=Payer("Ana Popescu", "ana@example.com"),
    )


def test_what_is_stored_finds_its_twin_at_another_account():
    first, second = make_account(), make_account(processor="nmi")
    store_payments(first, [report("ch_1"), report("ch_2", minor=2_600)])
    assert not marked()
    store_payments(second, [report("7001", after=timedelta(minutes=5))])
    assert {each.external_id for each in marked()} == {"ch_1", "7001"}


@pytest.mark.parametrize(
    "other",
    [
        {"amount_minor": 9_999},
        {"currency": "EUR"},
        {"customer": None},
        {"after": WINDOW + timedelta(seconds=1)},
        {"after": -WINDOW - timedelta(seconds=1)},
    ],
)
def test_another_payment_is_no_twin(pay, other):
    mark(pay(), pay(**other))
    assert not marked()


def test_another_customers_payment_is_no_twin(pay):
    mark(pay(), pay(customer=Customer.objects.create(email="jan@example.com")))
    assert not marked()


def test_at_the_edge_of_the_window_it_is_one(pay, settings):
    one, other = pay(), pay(WINDOW)
    mark(other)
    assert marked() == {one, other}
    one.refresh_from_db()
    assert list(twins_of(one)) == [other]
    settings.DUPLICATE_WINDOW_MINUTES = 59
    assert list(twins_of(one)) == []


def test_all_of_a_customer_are_marked_at_once(pay, customer):
    pair = {pay(), pay(timedelta(minutes=1))}
    pay(amount_minor=1)
    mark_twins_of(customer)
    assert marked() == pair


@pytest.mark.parametrize(
    "gone", [{"status": "voided"}, {"status": "failed"}, {"refunded_minor": 10_000}]
)
def test_of_two_of_which_one_is_gone_neither_is_shown(pay, gone):
    one, other = pay(), pay(timedelta(minutes=1))
    mark(one)
    with triggers_off():
        Transaction.objects.filter(pk=other.pk).update(**gone)
    one.refresh_from_db()
    assert marked() == {one, other}
    assert not twins_of(one).exists()
    assert not with_standing_twin(Transaction.objects.all()).exists()


def test_the_view_shows_both(pay):
    pair = [pay(), pay(timedelta(minutes=1))]
    pay(amount_minor=1)
    mark(*pair)
    browser = client_of(make_person("agent"))
    rows = browser.get(f"{LIST}?duplicate=true").context["cl"].rows
    assert [row.transaction for row in rows] == pair[::-1]


def test_the_page_names_the_twin_and_offers_to_refund_one(pay):
    one, other = pay(), pay(timedelta(minutes=3))
    mark(one)
    browser = client_of(make_person("agent"))
    response = browser.get(f"{LIST}{one.pk}/change/")
    text = visible(response)
    assert "Perhaps charged twice: the same customer paid 100.00 USD in" in text
    assert other.external_id in text
    assert f"{LIST}{one.pk}/refund/?reason=duplicate" in response.content.decode()
    dialog = browser.get(f"{LIST}{one.pk}/refund/?reason=duplicate")
    assert dialog.context["form"].initial["reason"].code == "duplicate"


def test_who_may_only_look_is_told_and_offered_nothing(pay):
    one = pay()
    pay(timedelta(minutes=3))
    mark(one)
    html = client_of(make_person("viewer")).get(f"{LIST}{one.pk}/change/").content.decode()
    assert "Perhaps charged twice" in html
    assert "as a duplicate" not in html


def test_a_reason_of_the_address_that_is_none_is_the_first_one(pay):
    one = pay()
    dialog = client_of(make_person("agent")).get(f"{LIST}{one.pk}/refund/?reason=no+such")
    assert dialog.context["form"].initial["reason"].code == "requested_by_customer"
