"""Erasing a customer: nothing tells who they were, and the books are as they were."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.db import transaction as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.chains import first_break
from campaigns.models import Campaign
from gateways.base import (
    Payer,
    Payment,
    PaymentMethod,
    PaymentStatus,
    RefundState,
    ReportedRefund,
)
from gateways.money import Money
from refunds.cases import accept
from refunds.erasure import NotErased, erase, erase_late_payments
from refunds.history import CHAINS
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import Attention, Refund, RefundAttempt, RefundEvent, RefundReason, Ruling
from refunds.placing import find_payment
from refunds.states import Status
from tests.dump import holding
from tests.pages import client_of, visible
from tests.refunds.raw import triggers_off
from tests.refunds.states import add_attempt, bring
from tests.rest import client_of as api_of
from tests.rest import make_account, make_case, make_person, make_refund, make_ruling
from transactions import saved_views
from transactions.customers import NotMerged, merge
from transactions.models import Customer, Note, SavedView, Transaction
from transactions.upsert import store_payments

pytestmark = pytest.mark.django_db

NAME, EMAIL, OTHER = "Zdzisława Brzęczyszczykiewicz", "zdzislawa@example.com", "z.b@example.org"
CANARIES = (NAME, "zdzislawa", OTHER, "Brzęczyszczykiewicz", "canary")


def paid(external_id, email=EMAIL, name=NAME, **fields):
    values = {
        "external_id": external_id,
        "amount": Money(10_000, "USD"),
        "status": PaymentStatus.SETTLED,
        "created_at": datetime(2026, 6, 1, tzinfo=UTC),
        "payer": Payer(name, email),
        "method": PaymentMethod("card", "visa", "4242"),
        "order_reference": f"order of {external_id}",
        "description": f"For {name} canary",
    }
    return Payment(**values | fields)


@pytest.fixture
def account():
    return make_account("nmi-main", "nmi", currency="USD")


@pytest.fixture
def admin():
    return make_person("admin")


@pytest.fixture
def customer(account, admin):
    """Somebody with two payments, another address, and everything that staff can write of them."""
    store_payments(
        account,
        [
            paid("1001"),
            paid("1002", OTHER),
            paid("1003", "else@example.com", "Jan", description=""),
        ],
    )
    kept, other = Customer.objects.get(email=EMAIL), Customer.objects.get(email=OTHER)
    merge(other, kept, actor=admin)
    payment = Transaction.objects.get(external_id="1001")
    Note.objects.create(transaction=payment, text="canary: she called", author=admin)
    refund = make_refund(payment, 4_000)
    with triggers_off():  # it would be asked for with them
        Refund.objects.filter(pk=refund.pk).update(note="canary note", words="Dear canary")
    exchange = {"at": "2026-06-01", "method": "POST", "url": "https://x/refunds", "status": 200,
                "request": f"email={EMAIL}", "response": f"<name>{NAME}</name>"}  # fmt: skip
    failed = bring(make_refund(payment, 1_000), Status.FAILED, failure_message=f"No, {NAME}.")
    add_attempt(failed, "declined", exchanges=[exchange, exchange | {"status": 500}],
                          processor_message=f"{EMAIL} is blocked")  # fmt: skip
    make_ruling(failed, "did_not", admin, evidence="canary says it never came")
    Ruling.objects.update(decided_at=timezone.now())  # proof came first
    add_attempt(refund, "accepted")
    case = make_case(bring(refund, Status.SUCCEEDED), "paid_after_all")
    Attention.objects.filter(pk=case.pk).update(
        reason=f"Ask {NAME}.", evidence={"payer": NAME, "refund": "re_1"}
    )
    accept(Attention.objects.get(pk=case.pk), admin, "canary is content")
    Attention.objects.create(
        kind="unplaced", subject="outside:1", account=account, reason="Which one?",
        evidence={"payer": NAME, "email": EMAIL.upper(), "refund": "77"},
    )  # fmt: skip
    query = "q=zdzislawa%40example.com&status=settled"
    saved_views.save(admin, f"Late: {NAME}", query, is_shared=True)
    Campaign.objects.create(
        name="all", query="q=Zdzis%C5%82awa+Brz%C4%99czyszczykiewicz", created_by=admin,
        reason=RefundReason.objects.get(code="other"), most_refunds=1, most_money=1,
    )  # fmt: skip
    return kept


def books():
    """What may not change: everything of money, and the chain."""
    return [
        list(Transaction.objects.order_by("pk").values_list(
            "pk", "external_id", "amount_minor", "refunded_minor", "reserved_minor", "status",
            "created_at", "order_reference", "last4", "brand", "customer")),
        list(Refund.objects.order_by("pk").values_list(
            "pk", "amount_minor", "status", "processor_refund_id", "request_hash", "created_at")),
        list(RefundAttempt.objects.order_by("pk").values_list(
            "pk", "reference", "order", "order_hash", "state", "processor_code")),
        list(RefundEvent.objects.order_by("pk").values_list("pk", "data", "hash")),
        list(Attention.objects.order_by("pk").values_list("pk", "kind", "closed_by", "closed_at")),
    ]  # fmt: skip


def test_nothing_in_the_database_tells_who_they_were(customer, admin):
    assert {found.partition(":")[0] for found in holding(CANARIES)} >= {
        "transactions_customer.email", "transactions_note.text", "refunds_refund.words",
        "refunds_refundattempt.exchanges", "refunds_ruling.evidence", "refunds_attention.outcome",
        "transactions_savedview.query", "transactions_savedview.name", "django_admin_log.change_message",
    }  # fmt: skip
    before = books()
    erased = erase(customer, actor=admin)
    assert (erased.payments, erased.refunds, erased.notes) == (2, 2, 1)
    assert list(holding((*CANARIES, "Zdzis%C5%82awa"))) == []
    assert books() == before
    assert [first_break(chain) for chain in CHAINS] == [None, None]
    assert not [each for each in INVARIANTS if broken_rows(each)]
    assert Transaction.objects.get(external_id="1003").customer_name == "Jan"


def test_who_it_was_is_a_pseudonym_wherever_they_were_found(customer, admin):
    erase(customer, actor=admin)
    pseudonym = f"erased-{customer.pk}"
    client = client_of(admin)
    for address in (
        f"/admin/transactions/customer/{customer.pk}/change/",
        f"/admin/transactions/transaction/?q={pseudonym}",
        f"/admin/transactions/customer/?q={pseudonym}",
        f"/admin/transactions/transaction/{Transaction.objects.get(external_id='1001').pk}/change/",
    ):
        page = visible(client.get(address))
        assert pseudonym in page
        assert not any(canary in page for canary in CANARIES)
    view = SavedView.objects.get()
    assert (view.name, view.query) == (f"Late: {pseudonym}", f"q={pseudonym}&status=settled")
    listed = api_of("viewer").get(f"/api/v1/transactions/?search={pseudonym}").json()["results"]
    assert {each["customer"]["name"] for each in listed} == {pseudonym}
    assert (
        "is_vip"
        not in client.get(f"/admin/transactions/customer/{customer.pk}/change/").content.decode()
    )


def test_views_of_one_name_are_told_apart(customer, admin):
    for name in (NAME, NAME.upper(), EMAIL, f"{NAME} {'x' * 29}", NAME[:9]):
        saved_views.save(admin, name, "status=settled", is_shared=False)
    saved_views.save(make_person("agent"), NAME, "status=settled", is_shared=False)
    erase(customer, actor=admin)
    new, cut = f"erased-{customer.pk}", f"{NAME[:9]}"
    views = SavedView.objects.order_by("pk").values_list("name", flat=True)
    assert list(views) == [
        f"Late: {new}", new, f"{new} (2)", f"{new} (3)", f"{new} {'x' * 29}", cut, new,
    ]  # fmt: skip


def test_a_view_is_kept_while_its_customer_is_erased(customer, admin, account):
    """Both wait for the turn first, and the view after it."""
    assert account
    with CaptureQueriesContext(connection) as queries:
        erase(customer, actor=admin)
    order = [
        what
        for query in queries
        for what in ("pg_advisory_xact_lock", 'UPDATE "transactions_savedview"')
        if what in query["sql"]
    ]
    assert order[0] == "pg_advisory_xact_lock"
    assert 'UPDATE "transactions_savedview"' in order


def test_a_later_sync_brings_nothing_back(customer, account, admin):
    erase(customer, actor=admin)
    again = [replace(paid("1001"), status=PaymentStatus.VOIDED), paid("1002", OTHER, "Zdzisława")]
    assert store_payments(account, again).changed == 1  # the status alone
    assert list(holding(CANARIES)) == []
    row = Transaction.objects.get(external_id="1001")
    assert (row.status, row.customer_id, row.description) == ("voided", customer.pk, "[erased]")
    assert store_payments(account, again).changed == 0


def test_who_pays_again_is_a_new_customer(customer, account, admin):
    erase(customer, actor=admin)
    store_payments(account, [paid("2001")])
    new = Customer.objects.get(email=EMAIL)
    assert list(new.transactions.values_list("external_id", flat=True)) == ["2001"]


def test_a_payment_that_came_in_meanwhile_is_erased_by_the_next_pass(customer, account, admin):
    erase(customer, actor=admin)
    store_payments(account, [paid("2001", "")])
    Transaction.objects.filter(external_id="2001").update(customer=customer, customer_email=EMAIL)
    assert erase_late_payments() == 1
    assert erase_late_payments() == 0
    assert list(holding(CANARIES)) == []


@pytest.mark.parametrize("status", [None, Status.SENDING, Status.UNKNOWN, Status.PENDING])
def test_a_refund_that_has_not_ended_blocks_it(customer, admin, status):
    refund = make_refund(Transaction.objects.get(external_id="1002"), 500)
    if status:
        bring(refund, status)
    with pytest.raises(NotErased, match="1 refund to this customer has not ended"):
        erase(customer, actor=admin)
    customer.refresh_from_db()
    assert customer.email == EMAIL
    assert Note.objects.get().text != "[erased]"


def test_an_open_case_blocks_it(customer, admin):
    refund = Refund.objects.filter(status=Status.FAILED).get()
    make_case(refund, "missing")
    with pytest.raises(NotErased, match="1 case about this customer is open"):
        erase(customer, actor=admin)


def test_it_is_done_once_for_all_who_were_merged(customer, admin):
    erase(Customer.objects.get(email=OTHER), actor=admin)  # by the other one's page
    customer.refresh_from_db()
    assert customer.erased_at
    with pytest.raises(NotErased, match="erased already"):
        erase(customer, actor=admin)
    with pytest.raises(NotMerged, match="is erased"):
        merge(Customer.objects.get(email="else@example.com"), customer, actor=admin)


def test_a_refund_made_outside_still_finds_an_erased_payment(customer, account, admin):
    """By card alone: its payer is not known any more."""
    erase(customer, actor=admin)
    Transaction.objects.exclude(external_id="1001").update(last4="9999")
    reported = ReportedRefund(
        external_id="8001", payment_id="", amount=Money(100, "USD"), state=RefundState.SUCCEEDED,
        created_at=datetime(2026, 6, 2, tzinfo=UTC), last4="4242", payer=Payer(NAME, EMAIL),
    )  # fmt: skip
    payment = Transaction.objects.get(external_id="1001")
    assert find_payment(account, reported) == payment.pk


def test_a_ruling_is_erased_and_not_changed(customer):
    ruling = Ruling.objects.get()
    for change in (
        {"evidence": "another story"},
        {"evidence": "[erased]", "verdict": "send_again"},
    ):
        with pytest.raises(IntegrityError), database.atomic():
            Ruling.objects.filter(pk=ruling.pk).update(**change)


def test_events_hold_nothing_of_people(customer, account):
    data = str(list(RefundEvent.objects.values_list("data", flat=True)))
    assert not any(canary in data for canary in CANARIES)


def test_the_page_asks_says_and_erases(customer, admin):
    client = client_of(admin)
    page = f"/admin/transactions/customer/{customer.pk}/"
    assert f"{page}erase/" in client.get(f"{page}change/").content.decode()
    asked = client.get(f"{page}erase/")
    assert "What stays, as the books need it" in visible(asked)
    assert EMAIL in visible(asked)
    assert "Tick the box" in visible(client.post(f"{page}erase/"))
    done = client.post(f"{page}erase/", {"confirmed": "on"}, follow=True)
    assert "The customer is erased." in visible(done)
    assert f"{page}erase/" not in done.content.decode()
    assert "erased already" in visible(client.post(f"{page}erase/", {"confirmed": "on"}))


def test_the_page_says_what_is_in_the_way(customer, admin):
    make_refund(Transaction.objects.get(external_id="1002"), 500)
    client = client_of(admin)
    asked = client.get(f"/admin/transactions/customer/{customer.pk}/erase/")
    assert "1 refund to this customer has not ended" in visible(asked)
    assert 'name="confirmed"' not in asked.content.decode()


@pytest.mark.parametrize("role", ["viewer", "agent", "approver", "manager"])
def test_others_may_not(customer, role):
    client = client_of(make_person(role))
    page = f"/admin/transactions/customer/{customer.pk}/"
    assert f"{page}erase/" not in client.get(f"{page}change/").content.decode()
    assert client.post(f"{page}erase/", {"confirmed": "on"}).status_code == 403
    customer.refresh_from_db()
    assert customer.erased_at is None


def test_the_command(customer):
    out = StringIO()
    with pytest.raises(CommandError, match="There is no such customer"):
        call_command("erase_customer", "--email", "nobody@example.com")
    call_command("erase_customer", "--email", f" {EMAIL.upper()} ", stdout=out)
    assert out.getvalue() == (
        f"Customer {customer.pk} is erased, with 2 payments, 2 refunds and 1 notes of theirs.\n"
    )
    with pytest.raises(CommandError, match="erased already"):
        call_command("erase_customer", str(customer.pk))
