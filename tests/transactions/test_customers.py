"""Customers that are one person: merged, and parted again."""

import pytest
from django.contrib.admin.models import LogEntry

from audit.models import AuditEntry
from gateways.base import Payer, Payment, PaymentStatus
from gateways.money import Money
from tests.audit.lines import told
from tests.rest import client_of, make_account, make_person, make_transaction
from transactions.customers import NotMerged, mark, merge, namesakes, part
from transactions.models import Customer, Transaction
from transactions.upsert import store_payments

pytestmark = pytest.mark.django_db


def make(email, **fields):
    return Customer.objects.create(email=email, **fields)


def pay(customer, **fields):
    return make_transaction(customer=customer, customer_email=customer.email, **fields)


def owner_of(payment):
    return Transaction.objects.get(pk=payment.pk).customer


@pytest.fixture
def person():
    return make_person("manager")


@pytest.fixture
def ana():
    return make("ana@example.com", name="Ana Popescu")


@pytest.fixture
def other():
    return make("a.popescu@example.com", is_vip=True, locale="ro")


def test_what_the_other_paid_moves_and_what_staff_knew_stays(ana, other, person):
    own, theirs = pay(ana), pay(other)
    merge(other, ana, actor=person)
    assert (owner_of(own), owner_of(theirs)) == (ana, ana)
    ana.refresh_from_db()
    assert (ana.name, ana.is_vip, ana.locale) == ("Ana Popescu", True, "ro")
    assert Customer.objects.get(pk=other.pk).merged_into == ana
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (person, str(ana.pk))
    assert "a.popescu@example.com" in entry.get_change_message()


def test_what_is_paid_under_the_other_address_later_is_theirs_too(ana, other, person):
    merge(other, ana, actor=person)
    when = make_transaction().created_at
    report = Payment(
        "ch_late", Money(100, "USD"), PaymentStatus.SETTLED, when,
        payer=Payer("Ana Popescu", "A.Popescu@example.com"),
    )  # fmt: skip
    store_payments(make_account(), [report])
    assert Transaction.objects.get(external_id="ch_late").customer == ana
    assert Customer.objects.count() == 2


def test_two_that_paid_the_same_are_told_as_twins_once_they_are_one(ana, other, person):
    when = pay(ana).created_at
    pay(other, created_at=when)
    merge(other, ana, actor=person)
    assert Transaction.objects.filter(has_twin=True).count() == 2


def test_parting_gives_back_what_was_paid_under_the_other_address(ana, other, person):
    own, theirs = pay(ana), pay(other)
    merge(other, ana, actor=person)
    part(Customer.objects.get(pk=other.pk), actor=person)
    assert (owner_of(own), owner_of(theirs)) == (ana, other)
    other.refresh_from_db()
    assert other.merged_into is None
    part(other, actor=person)  # a second press does nothing more
    assert LogEntry.objects.count() == 2


def test_who_was_merged_into_the_other_comes_along(ana, other, person):
    third = make("popescu@example.com")
    merge(third, other, actor=person)
    merge(Customer.objects.get(pk=other.pk), ana, actor=person)
    assert set(ana.absorbed.all()) == {other, third}


def test_what_cannot_be_merged_is_refused(ana, other, person):
    with pytest.raises(NotMerged, match="That is this customer"):
        merge(ana, ana, actor=person)
    merge(other, ana, actor=person)
    with pytest.raises(NotMerged, match=r"a\.popescu@example\.com is merged into another"):
        merge(other, make("third@example.com"), actor=person)
    with pytest.raises(NotMerged, match=r"a\.popescu@example\.com is merged into another"):
        merge(make("fourth@example.com"), other, actor=person)


def test_namesakes_are_others_of_the_same_name(ana, other, person):
    assert namesakes(other) == []
    twin = make("ana.p@example.com", name="ANA POPESCU")
    make("ana.x@example.com", name="Ana Pope")
    assert namesakes(ana) == [twin]
    merge(twin, ana, actor=person)
    assert namesakes(ana) == []


def test_the_api_finds_what_was_paid_under_a_merged_address(ana, other, person):
    payment = pay(other)
    merge(other, ana, actor=person)
    client = client_of("agent")
    for asked in ("a.popescu@example.com", "ana@example.com", str(ana.pk)):
        found = client.get("/api/v1/transactions/", {"customer": asked}).json()["results"]
        assert [each["id"] for each in found] == [payment.pk]


def test_the_audit_log_knows_customers_by_their_keys(ana, other, person):
    merge(other, ana, actor=person)
    part(other, actor=person)
    part(other, actor=person)
    assert [(kind, by, name, data) for kind, by, name, data in told()] == [
        ("customer.merged", person.username, "", {"other": other.pk}),
        ("customer.split", person.username, "", {"other": other.pk}),
    ]


class TestRisky:
    def test_a_mark_is_logged_once_without_the_address(self, ana, person):
        assert mark(ana, is_risky=True, actor=person)
        assert not mark(ana, is_risky=True, actor=person)
        ana.refresh_from_db()
        assert (ana.is_risky, ana.cleared_by) == (True, None)
        assert mark(ana, is_risky=False, actor=person)
        ana.refresh_from_db()
        assert (ana.is_risky, ana.cleared_by) == (False, person)
        entries = AuditEntry.objects.filter(kind__startswith="customer.").order_by("pk")
        assert [(each.kind, each.actor_id, each.about_id) for each in entries] == [
            (kind, person.pk, str(ana.pk)) for kind in ("customer.marked", "customer.cleared")
        ]
        assert not entries.exclude(about_name="").exists()

    def test_merging_does_not_lose_it(self, ana, other, person):
        mark(other, is_risky=True, actor=person)
        merge(other, ana, actor=person)
        ana.refresh_from_db()
        assert ana.is_risky

    def test_nor_who_took_it_back(self, ana, other, person):
        mark(other, is_risky=True, actor=make_person("admin"))
        mark(other, is_risky=False, actor=person)
        merge(other, ana, actor=person)
        ana.refresh_from_db()
        assert ana.cleared_by == person
