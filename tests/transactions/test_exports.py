"""What a table shows, as a file: all of it, in its order, and harmless for a spreadsheet."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zipfile import ZipFile

import pytest
from defusedxml.ElementTree import fromstring
from django.db import connection
from django.test.utils import CaptureQueriesContext

from access.models import AccountRole
from audit.models import AuditEntry
from refunds.states import Status
from tests.audit.lines import told
from tests.pages import client_of, visible
from tests.refunds.states import bring
from tests.rest import make_account, make_person, make_refund, make_transaction
from transactions import exports
from transactions.models import Transaction

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
PAID = datetime(2026, 3, 1, 12, 30, 15, 900_000, tzinfo=UTC)


@pytest.fixture
def browser():
    return client_of(make_person("agent"))


def lines_of(response):
    text = b"".join(response.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def exported(browser, query=""):
    response = browser.get(f"{LIST}export.csv?{query}")
    assert response.status_code == 200
    return lines_of(response)


def cells_of(response):
    """The rows of the first sheet: each cell's type and text."""
    with ZipFile(io.BytesIO(b"".join(response.streaming_content))) as book:
        sheet = fromstring(book.read("xl/worksheets/sheet1.xml"))
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    return [
        [(cell.get("t", "n"), "".join(cell.itertext())) for cell in row.iter(f"{name}c")]
        for row in sheet.iter(f"{name}row")
    ]


def test_a_line_has_every_fact(browser):
    account = make_account(slug="shop")
    transaction = make_transaction(
        account, external_id="ch_9", created_at=PAID, settled_at=PAID + timedelta(days=1),
        amount_minor=123_456, customer_name="Ana", customer_email="ana@example.com",
        order_reference="A-1", method_type="card", brand="american_express", last4="0005",
        wallet="apple_pay", description="Two lamps",
    )  # fmt: skip
    bring(make_refund(transaction, 23_456), Status.SUCCEEDED)
    Transaction.objects.update(disputed=True)
    [line] = exported(browser)
    assert line == {
        "Paid at": "2026-03-01 12:30:15", "Account": "shop", "Processor's id": "ch_9",
        "Customer": "Ana", "E-mail": "ana@example.com", "Order": "A-1", "Method": "Amex",
        "Last four": "0005", "Wallet": "Apple Pay", "Currency": "USD", "Amount": "1234.56",
        "Refunded": "234.56", "On its way": "0.00", "Left": "1000.00", "Refund": "Partly refunded",
        "Status": "Settled", "Disputed": "Yes", "Settled at": "2026-03-02 12:30:15",
        "Description": "Two lamps",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1500, "JPY", "1500"), (1500, "KWD", "1.500"), (5, "USD", "0.05"), (10**15, "EUR", None)],
)
def test_amounts_have_the_decimals_of_their_currency(browser, minor, currency, text):
    make_transaction(amount_minor=minor, currency=currency)
    [line] = exported(browser)
    assert line["Amount"] == (text or "10000000000000.00")


def test_it_is_what_the_table_shows_in_its_order(browser, monkeypatch):
    monkeypatch.setattr(exports, "_PAGE", 3)
    account = make_account()
    for number in range(10):
        moment = PAID + timedelta(minutes=number // 2)
        make_transaction(account, external_id=f"ch_{number}", created_at=moment,
                         amount_minor=100 * number + 100)  # fmt: skip
    make_transaction(external_id="other", created_at=PAID)
    query = f"account={account.slug}&amount_max=8&p=older.1.1&disputed="
    shown = [row.transaction.external_id
             for row in browser.get(f"{LIST}?account={account.slug}&amount_max=8").context["cl"].rows]  # fmt: skip
    assert [line["Processor's id"] for line in exported(browser, query)] == shown
    assert len(shown) == 8


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("account=999", "Account"), ("account=theirs", "Account"), ("status=bogus", "Status"),
        ("created_after=notadate", "From"), ("amount_min=1,5", "At least"), ("no_such=1", "no_such"),
        ("<b>=1", "&lt;b&gt;"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_what_is_not_understood_exports_nothing(query, name, form):
    """The list leaves it out and says so; a file would hold more than was asked for."""
    agent = make_person("agent")
    ours, theirs = make_account(slug="ours"), make_account(slug="theirs")
    AccountRole.objects.create(user=agent, role=agent.groups.get(), account=ours)
    agent.groups.clear()
    make_transaction(ours, external_id="ch_ours")
    make_transaction(theirs, external_id="ch_theirs")
    client = client_of(agent)
    page = client.get(f"{LIST}?{query}")
    assert "What makes no sense in the address is ignored:" in visible(page)
    assert "ch_theirs" not in page.content.decode()
    answer = client.get(f"{LIST}export.{form}?currency=USD&{query}")
    assert answer.status_code == 400
    assert not answer.streaming
    assert f"makes no sense in the address: {name}" in answer.content.decode()
    assert told() == []


def test_a_file_of_nothing_has_its_headings(browser):
    response = browser.get(f"{LIST}export.csv?q=nobody")
    assert lines_of(response) == []
    assert len(cells_of(browser.get(f"{LIST}export.xlsx?q=nobody"))) == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠1"]
)
def test_what_could_be_a_formula_is_text(browser, text):
    make_transaction(customer_name=text, order_reference="a=1", description='quote " and\nline')
    [line] = exported(browser)
    assert line["Customer"] == f"'{text}"
    assert (line["Order"], line["Description"]) == ("a=1", 'quote " and\nline')
    cells = cells_of(browser.get(f"{LIST}export.xlsx"))[1]
    assert ("inlineStr", text) in cells or any(kind == "inlineStr" for kind, _text in cells)
    assert not [kind for kind, _text in cells if kind in {"str", "f"}]


def test_a_workbook_has_numbers_and_moments(browser):
    make_transaction(amount_minor=1250, created_at=PAID, customer_name="https://example.com")
    heading, row = cells_of(browser.get(f"{LIST}export.xlsx"))
    assert heading[0] == ("inlineStr", "Paid at")
    kind, days = row[0]
    assert kind == "n"
    assert abs(Decimal(days) - Decimal("46082.5210069")) < Decimal("0.0001")
    amount = [str(column.heading) for column in exports.COLUMNS].index("Amount")
    assert (row[amount][0], Decimal(row[amount][1])) == ("n", Decimal("12.5"))


def test_a_large_workbook_goes_on_in_another_sheet(browser, monkeypatch):
    monkeypatch.setattr(exports, "_SHEET_ROWS", 2)
    account = make_account()
    for _ in range(5):
        make_transaction(account)
    response = browser.get(f"{LIST}export.xlsx")
    with ZipFile(io.BytesIO(b"".join(response.streaming_content))) as book:
        sheets = [name for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
    assert len(sheets) == 3


def test_a_page_costs_one_query_and_holds_no_transaction(browser, monkeypatch):
    monkeypatch.setattr(exports, "_PAGE", 10)
    account = make_account()
    for _ in range(25):
        make_transaction(account)
    with CaptureQueriesContext(connection) as queries:
        assert sum(map(len, exports._pages(Transaction.objects.all()))) == 25
    assert len(queries) == 3


def test_about_how_many_there_are_is_not_counted(browser):
    make_transaction()
    with CaptureQueriesContext(connection) as queries:
        response = browser.get(f"{LIST}export.csv")
    assert response["X-Rows"].isdigit()
    assert response["Content-Disposition"].startswith('attachment; filename="transactions-')
    assert not [query for query in queries if "COUNT(" in query["sql"]]


def test_who_may_not_takes_nothing_along(browser):
    make_transaction()
    viewer = client_of(make_person("viewer"))
    assert viewer.get(f"{LIST}export.csv").status_code == 403
    assert "data-export" not in viewer.get(LIST).content.decode()
    assert "data-export" in browser.get(LIST).content.decode()
    assert browser.post(f"{LIST}export.csv").status_code == 403


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_audit_log_tells_who_took_what_along(browser, form):
    make_transaction(currency="EUR")
    browser.get(f"{LIST}export.{form}?currency=EUR&q=ana@example.com&p=older.1.1")
    [(kind, by, _name, data)] = told()
    assert (kind, by.partition("-")[0]) == ("export.made", "agent")
    assert data["query"] == "currency=EUR&q=%E2%80%A6"
    assert (data["what"], data["format"]) == ("payments", form)
    assert "example.com" not in str(AuditEntry.objects.values())


def test_what_was_not_taken_along_is_not_told():
    client_of(make_person("viewer")).get(f"{LIST}export.csv")
    assert told() == []
