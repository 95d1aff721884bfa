from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateways.money import Money
from tests.rest import (
    assert_problem,
    client_of,
    make_account,
    make_person,
    make_refund,
    make_transaction,
)
from transactions.models import Customer, Note, Transaction

pytestmark = pytest.mark.django_db

LIST = "/api/v1/transactions/"
SUMMARY = {
    "account": "stripe-main",
    "processor": "stripe",
    "external_id": "ch_api",
    "amount": "100.00",
    "currency": "USD",
    "refunded": "0.00",
    "reserved": "0.00",
    "refundable": "100.00",
    "refund_state": "none",
    "status": "settled",
    "disputed": False,
    "created_at": "2026-03-01T12:00:00.500000Z",
    "settled_at": "2026-03-02T04:00:00.000000Z",
    "customer": {"name": "Ольга Петрова", "email": "olga@example.com", "locale": "ru"},
    "payment_method": {"type": "card", "brand": "visa", "last4": "4242", "wallet": "apple_pay"},
    "order_reference": "ORDER-17",
    "description": "Two tickets",
}


@pytest.fixture
def payment():
    customer = Customer.objects.create(email="olga@example.com", name="Ольга Петрова", locale="ru")
    return make_transaction(
        make_account("stripe-main"),
        external_id="ch_api",
        customer=customer,
        customer_name=customer.name,
        customer_email=customer.email,
        method_type="card",
        brand="visa",
        last4="4242",
        wallet="apple_pay",
        order_reference="ORDER-17",
        description="Two tickets",
        created_at=datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC),
        settled_at=datetime(2026, 3, 2, 4, tzinfo=UTC),
    )


def expected(payment, **changed):
    customer = SUMMARY["customer"] | {"id": payment.customer_id}
    return SUMMARY | {"id": payment.pk, "customer": customer} | changed


def test_a_row_of_the_list(payment):
    [row] = client_of("viewer").get(LIST).json()["results"]
    assert row == expected(payment)


def test_a_transaction_with_its_refunds_and_notes(payment):
    client = client_of("agent")
    refund = make_refund(payment, 1250, client.person)
    client.post(f"{LIST}{payment.pk}/notes/", {"text": "She called."})
    document = client.get(f"{LIST}{payment.pk}/").json()
    [note], [shown] = document.pop("notes"), document.pop("refunds")
    sums = {"reserved": "12.50", "refundable": "87.50", "refund_state": "in_progress"}
    assert document == expected(payment, refund_blocked=None, **sums)
    assert (note["text"], note["author"]) == ("She called.", client.person.username)
    assert shown == client.get(f"/api/v1/refunds/{refund.pk}/").json()


def test_a_payer_without_an_e_mail_has_a_name_and_no_id():
    payment = make_transaction(customer_name="Siti")
    shown = client_of("viewer").get(f"{LIST}{payment.pk}/").json()["customer"]
    assert shown == {"id": None, "name": "Siti", "email": "", "locale": ""}


@pytest.mark.parametrize(
    ("currency", "minor", "major"),
    [("JPY", 1500, "1500"), ("KWD", 1500, "1.500"), ("EUR", 5, "0.05")],
)
def test_amounts_have_the_decimals_of_their_currency(currency, minor, major):
    make_transaction(currency=currency, amount_minor=minor)
    [row] = client_of("viewer").get(LIST).json()["results"]
    assert row["amount"] == row["refundable"] == major
    assert row["refunded"] == Money(0, currency).major()


def test_what_stands_against_a_refund_is_said():
    disputed = make_transaction(disputed=True)
    document = client_of("viewer").get(f"{LIST}{disputed.pk}/").json()
    assert "disputed" in document["refund_blocked"]


def test_a_page_costs_the_same_number_of_queries_however_long_it_is():
    client = client_of("viewer")
    account = make_account()
    client.get(LIST)  # the use of the token is noted once
    counts = []
    for _ in range(2):
        for _ in range(10):
            customer = Customer.objects.create(email=f"{Transaction.objects.count()}@example.com")
            make_refund(make_transaction(account, customer=customer), 100)
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        counts.append(len(queries))
        assert not any("count(" in query["sql"].lower() for query in queries)
    # The token, its accounts, one for the person's rights, and one for the page.
    assert counts == [4, 4]


def test_a_detail_page_costs_the_same_number_of_queries_however_much_happened():
    client = client_of("agent")
    payment = make_transaction()
    address = f"{LIST}{payment.pk}/"
    client.get(address)
    counts = []
    for _ in range(2):
        for _ in range(5):
            make_refund(payment, 100)
            client.post(f"{address}notes/", {"text": "again"})
        with CaptureQueriesContext(connection) as queries:
            client.get(address)
        counts.append(len(queries))
    assert counts == [8, 8]


def plan_of(client, query):
    """How PostgreSQL runs the query behind a list."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"{LIST}?{query}").status_code == 200
    sql = queries[-1]["sql"]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_lists_walk_an_index_and_read_no_further_than_a_page():
    many = [
        make_account("stripe-main"),
        make_account("stripe-rare"),
        make_account("nmi-main", "nmi"),
    ]
    now = datetime.now(UTC)
    customers = Customer.objects.bulk_create(Customer(email=f"{n}@example.com") for n in range(100))
    Transaction.objects.bulk_create(
        Transaction(
            account=account,
            processor=account.processor,
            mode="test",
            external_id=f"ch_{n}",
            currency="USD",
            amount_minor=1000,
            status="settled",
            created_at=datetime.fromtimestamp(now.timestamp() - n * 60, UTC),
            customer=customers[n % 100],
        )
        for n in range(6000)
        for account in [many[n % 50 and 1 + n % 2]]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE transactions_transaction")
    client = client_of("viewer")
    oldest = client.get(f"{LIST}?ordering=created_at&page_size=100").json()["next"].split("?")[1]
    for query in (
        "",
        "ordering=created_at",
        oldest,
        "processor=nmi",
        "account=stripe-main",
        "refund_state=none",
        "created_before=2100-01-01T00:00:00Z",
        f"customer={customers[0].pk}",
    ):
        plan = plan_of(client, query)
        assert "Index Scan" in plan, plan
        assert "Seq Scan on transactions_transaction" not in plan, plan
        assert "Sort" not in plan or "customer" in query, plan


def test_notes_are_listed_newest_first_and_written_by_who_called(payment):
    client = client_of("agent")
    address = f"{LIST}{payment.pk}/notes/"
    first = client.post(address, {"text": "  One line\nand another — ünïcode 🎌  "})
    assert first.status_code == 201
    client.post(address, {"text": "Second"})
    listed = client.get(address).json()
    assert [note["text"] for note in listed["results"]] == [
        "Second",
        "One line\nand another — ünïcode 🎌",
    ]
    assert listed["results"][1] == first.json()
    assert first.json()["author"] == client.person.username
    assert set(first.json()) == {"id", "text", "author", "created_at"}


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242",
        "her card 4242 4242 4242 4242, please",
        "378282246310005",
        "4000-0566-5566-5556",
        "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
        "x" * 5001,
        "\x00",
        " \n\t ",
    ],
)
def test_a_note_that_may_not_be_kept_is_400(payment, text):
    response = client_of("agent").post(f"{LIST}{payment.pk}/notes/", {"text": text})
    assert list(assert_problem(response, 400)["errors"]) == ["text"]
    assert not Note.objects.exists()


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "{{7*7}}", "'; DROP TABLE", "x" * 5000, "%s %(a)s", "\u202eevil",
     "ord 1234567890123456", "e\u0301" * 100],
)  # fmt: skip
def test_a_note_comes_back_as_it_was_written(payment, text):
    client = client_of("agent")
    address = f"{LIST}{payment.pk}/notes/"
    assert client.post(address, {"text": text}).json()["text"] == text
    assert client.get(address).json()["results"][0]["text"] == text


def test_fields_of_a_note_that_nobody_may_set_are_refused(payment):
    client, other = client_of("agent"), make_person("agent")
    fields = {"author": other.username, "created_at": "2020-01-01", "id": 1, "transaction": 1}
    for name, value in fields.items():
        response = client.post(f"{LIST}{payment.pk}/notes/", {"text": "hello", name: value})
        assert list(assert_problem(response, 400)["errors"]) == [name]
    assert not Note.objects.exists()
