"""What the approval rules measure, each from rows, and what is not among it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.money import Money
from refunds.measures import Asked, measure
from refunds.models import Refund, RuleKind
from refunds.states import Status
from tests.rest import make_account, make_transaction
from transactions.models import Customer

from .raw import triggers_off
from .states import bring

pytestmark = pytest.mark.django_db

K = RuleKind


@pytest.fixture
def asked(agent):
    """A refund that the agent asks for now."""

    def asked(transaction, minor: int = 1_000, **more) -> Asked:
        amount = Money(minor, transaction.currency)
        return Asked(transaction, amount, more.pop("requester", agent), timezone.now(), **more)

    return asked


@pytest.fixture
def customer():
    return Customer.objects.create(email="maria@example.com", name="Maria Santos")


def made_before(refund: Refund, since: timedelta) -> None:
    with triggers_off():
        Refund.objects.filter(pk=refund.pk).update(created_at=timezone.now() - since)


def paid_by(customer, **fields):
    return make_transaction(customer=customer, **fields)


class TestDay:
    def test_it_is_what_the_person_asked_for_whatever_the_payment(self, ask, asked):
        ask(make_transaction(), 700)
        bring(ask(make_transaction(make_account()), 300), Status.SUCCEEDED)
        assert measure(K.DAY, asked(make_transaction(), 50)) == 1_050

    def test_not_what_others_asked_for_or_what_gave_nothing_back(self, ask, asked, make_user):
        ask(make_transaction(), 700, requested_by=make_user("refunds.request_refund"))
        bring(ask(make_transaction(), 300), Status.FAILED)
        bring(ask(make_transaction(), 200), Status.CANCELED)
        assert measure(K.DAY, asked(make_transaction(), 50)) == 50

    def test_nor_of_another_day_or_currency(self, ask, asked):
        made_before(ask(make_transaction(), 700), timedelta(hours=25))
        ask(make_transaction(currency="EUR"), 300)
        assert measure(K.DAY, asked(make_transaction(), 50)) == 50

    def test_nor_what_another_person_approved(self, ask, asked, make_user):
        approver = make_user("refunds.approve_refund")
        ask(make_transaction(), 700, approved_by=approver)
        assert measure(K.DAY, asked(make_transaction(), 50)) == 50

    def test_a_second_account_is_the_same_person(self, ask, asked, agent, make_user):
        agent.email = "ana@example.com"
        agent.save()
        twin = make_user("refunds.request_refund", email="ANA@example.com")
        ask(make_transaction(), 700)
        assert measure(K.DAY, asked(make_transaction(), 50, requester=twin)) == 750


class TestPayment:
    def test_it_is_the_sum_of_the_payment(self, ask, asked):
        payment = make_transaction()
        bring(ask(payment, 700), Status.SUCCEEDED)
        ask(payment, 200)
        bring(ask(payment, 100), Status.FAILED)
        assert measure(K.PAYMENT, asked(payment, 50)) == 950

    def test_what_was_asked_for_later_does_not_count(self, ask, asked, agent):
        payment = make_transaction()
        first = ask(payment, 700)
        ask(payment, 200)
        again = Asked(payment, first.amount, agent, first.created_at, refund=first)
        assert measure(K.PAYMENT, again) == 700


class TestTime:
    def test_the_age_of_a_payment(self, asked):
        payment = make_transaction(created_at=timezone.now() - timedelta(days=3, hours=1))
        assert measure(K.AGE, asked(payment)) == 3
        assert measure(K.SOON, asked(payment)) == 73 * 60

    def test_a_payment_of_a_clock_that_is_ahead_is_new(self, asked):
        payment = make_transaction(created_at=timezone.now() + timedelta(minutes=3))
        assert (measure(K.AGE, asked(payment)), measure(K.SOON, asked(payment))) == (0, 0)


def test_tries_are_counted_along_the_chain(ask, asked):
    first = bring(ask(make_transaction(), 100), Status.FAILED)
    second = bring(ask(first.transaction, 100, retry_of=first), Status.FAILED)
    assert measure(K.TRIES, asked(first.transaction)) == 0
    assert measure(K.TRIES, asked(first.transaction, retry_of=first)) == 1
    assert measure(K.TRIES, asked(first.transaction, retry_of=second)) == 2


class TestCustomers:
    def test_all_refunds_of_a_customer_count_for_a_month(self, ask, asked, customer, make_user):
        bring(ask(paid_by(customer), 100), Status.SUCCEEDED)
        ask(paid_by(customer), 100, requested_by=make_user("refunds.request_refund"))
        made_before(ask(paid_by(customer), 100), timedelta(days=31))
        ask(make_transaction(), 100)
        assert measure(K.CUSTOMER, asked(paid_by(customer))) == 2
        assert measure(K.OWN_CUSTOMER, asked(paid_by(customer))) == 2  # within 90 days, own

    def test_a_payment_of_nobody_is_not_compared(self, asked):
        payment = make_transaction(customer=None)
        for kind in (K.CUSTOMER, K.OWN_CUSTOMER, K.RISKY):
            assert measure(kind, asked(payment)) is None

    def test_disputes_of_a_year(self, asked, customer):
        paid_by(customer, disputed=True)
        paid_by(customer, disputed=True, created_at=timezone.now() - timedelta(days=400))
        paid_by(customer)
        assert measure(K.RISKY, asked(paid_by(customer))) == 1

    def test_a_card_is_known_by_brand_and_last_four(self, ask, asked):
        card = {"brand": "visa", "last4": "4242"}
        ask(make_transaction(**card), 100)
        ask(make_transaction(brand="visa", last4="1881"), 100)
        ask(make_transaction(brand="amex", last4="4242"), 100)
        assert measure(K.CARD, asked(make_transaction(**card))) == 1
        assert measure(K.CARD, asked(make_transaction(brand="", last4=""))) is None


class TestUsual:
    def test_of_few_nobody_can_say(self, ask, asked):
        for _ in range(9):
            ask(make_transaction(), 100)
        assert measure(K.UNUSUAL, asked(make_transaction(), 1_000)) is None

    @pytest.mark.parametrize(("minor", "times"), [(100, 1), (300, 3), (301, 4)])
    def test_more_than_whole_times_counts_as_the_next(self, ask, asked, minor, times):
        for _ in range(10):
            ask(make_transaction(), 100)
        assert measure(K.UNUSUAL, asked(make_transaction(), minor)) == times
