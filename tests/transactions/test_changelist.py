"""Lists page by key: every row once, in a fixed number of queries, each along an index."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateways.models import Processor
from tests.pages import client_of, explain_list, visible
from tests.rest import make_account, make_person, make_transaction
from transactions.changelist import Cursor
from transactions.models import Transaction
from transactions.table import about

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def browser():
    return client_of(make_person("viewer"))


def fill(number, *, account=None, ties=1, **fields):
    """So many payments, ``ties`` of them at each moment."""
    account = account or make_account()
    Transaction.objects.bulk_create(
        Transaction(
            account=account,
            processor=account.processor,
            mode="test",
            external_id=f"{account.slug}-{n}",
            currency="USD",
            amount_minor=10_000,
            status="settled",
            created_at=NOON + timedelta(minutes=n // ties),
            **fields,
        )
        for n in range(number)
    )
    return account


def shown(response):
    return [row.transaction.external_id for row in response.context["cl"].rows]


def newest_first():
    order = Transaction.objects.order_by("-created_at", "-pk")
    return list(order.values_list("external_id", flat=True))


@pytest.mark.parametrize("ties", [1, 7, 1000])
def test_older_and_newer_show_every_row_once(browser, ties):
    fill(135, ties=ties)
    response = browser.get(LIST)
    pages = [shown(response)]
    assert response.context["cl"].newer_url == ""
    while older := response.context["cl"].older_url:
        response = browser.get(LIST + older)
        pages.append(shown(response))
    assert [len(page) for page in pages] == [50, 50, 35]
    assert [row for page in pages for row in page] == newest_first()

    back = [shown(response)]
    while newer := response.context["cl"].newer_url:
        response = browser.get(LIST + newer)
        back.append(shown(response))
    assert back[::-1] == pages


def test_the_newest_page_is_whole_when_rows_came_meanwhile(browser):
    account = fill(60)
    second = browser.get(LIST + browser.get(LIST).context["cl"].older_url)
    Transaction.objects.create(
        account=account,
        processor=account.processor,
        mode="test",
        external_id="late",
        currency="USD",
        amount_minor=1,
        status="settled",
        created_at=NOON + timedelta(days=1),
    )
    newer = browser.get(LIST + second.context["cl"].newer_url)
    newest = browser.get(LIST + newer.context["cl"].newer_url)
    assert shown(newest) == newest_first()[:50]
    assert newest.context["cl"].newer_url == ""


def test_filters_stay_while_paging(browser):
    fill(60, account=make_account("stripe-one"))
    fill(60, account=make_account("stripe-two"))
    older = browser.get(f"{LIST}?account=stripe-one&q=stripe").context["cl"].older_url
    query = parse_qs(urlsplit(older).query)
    assert query["account"] == ["stripe-one"]
    assert query["q"] == ["stripe"]
    assert len(shown(browser.get(LIST + older))) == 10


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2",
            "older",
            "older.1.abc",
            "older.x.1",
            "sideways.1.1",
            "newer..",
            "older.1.1.1",
        ),
        "older.99999999999999999999999.1",
        f"older.{'9' * 5000}.1",
    ],
)
def test_a_cursor_that_is_none_is_the_first_page(browser, text):
    fill(3)
    assert shown(browser.get(f"{LIST}?p={text}")) == newest_first()


def test_a_cursor_reads_what_it_wrote():
    at = NOON + timedelta(microseconds=123_457)
    cursor = Cursor(True, at, 42)
    assert Cursor.read(cursor.write(), Transaction) == cursor


@pytest.mark.parametrize(
    "query",
    [
        *("refund_state=bogus", "processor=%20", "account=nobody", "status=paid", "disputed=maybe"),
        *("created_after=31.12.2026", "created_before=9999-12-31", "customer=abc"),
        *("amount_min=-1", "amount_max=1e3", "amount_min=1,50", "currency=usd", "method=cash"),
        *("wallet=purse", "amount_minor=abc", "no_such_field=1"),
        *("created_at__gte=2026-01-01", "created_after=2026-03-01T00:00-23:00"),
        "account__encrypted_credentials__startswith=g",
    ],
)
def test_a_filter_that_makes_no_sense_is_ignored_with_a_message(browser, query):
    fill(2)
    response = browser.get(f"{LIST}?q=stripe&{query}")
    assert len(shown(response)) == 2
    assert "What makes no sense in the address is ignored" in visible(response)
    name = query.partition("=")[0]
    assert name not in response.context["cl"].get_query_string()
    assert name not in response.context["cl"].newer_url


def test_names_of_unknown_filters_are_text_and_few(browser):
    fill(1)
    names = [f"<b>{each}{'x' * 60}" for each in range(9)]
    response = browser.get(LIST, dict.fromkeys(names, "1"))
    assert len(response.context["cl"].ignored) == 5
    assert "<b>0" not in response.content.decode()
    assert "&lt;b&gt;0" in response.content.decode()


@pytest.mark.parametrize("text", ["4242 4242 4242 4242", "ana 5555555555554444"])
@pytest.mark.parametrize(
    "address",
    [
        "transactions/transaction", "transactions/customer", "refunds/refund", "refunds/attention",
        "refunds/webhookevent", "refunds/auditline", "campaigns/campaign",
    ],
)  # fmt: skip
def test_card_numbers_are_not_searched_for(address, text):
    account = make_account()
    Transaction.objects.filter(pk=make_transaction(account).pk).update(customer_name=text)
    browser = client_of(make_person("admin"))
    page = browser.get(f"/admin/{address}/", {"q": text})
    assert page.status_code == 200
    assert "Card numbers are not searched for. Search for the last four digits." in visible(page)
    assert "Nothing matches" in visible(page)
    assert text.removeprefix("ana ") not in unquote_plus(page.content.decode())
    assert "not searched for" not in visible(browser.get(f"/admin/{address}/?q=4242"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("currency=JPY", ["yen"]),
        ("amount_min=100", ["large", "yen"]),
        ("amount_max=12.5", ["dinar", "small"]),
        ("amount_min=12.5&amount_max=12.5", ["dinar", "small"]),
        ("method=bank", ["dinar"]),
        ("method=amex", ["large"]),
        ("method=card", ["large", "small", "yen"]),
        ("wallet=apple_pay", ["small"]),
    ],
)
def test_by_amount_currency_method_and_wallet(browser, query, expected):
    account = make_account()
    for name, fields in {
        "small": {"amount_minor": 1250, "currency": "USD", "wallet": "apple_pay", "brand": "visa"},
        "large": {"amount_minor": 10_000, "currency": "EUR", "brand": "american_express"},
        "yen": {"amount_minor": 100, "currency": "JPY", "brand": "jcb"},
        "dinar": {"amount_minor": 12_500, "currency": "KWD", "method_type": "bank"},
    }.items():
        make_transaction(account, external_id=name, **({"method_type": "card"} | fields))
    response = browser.get(f"{LIST}?{query}")
    assert sorted(row.transaction.external_id for row in response.context["cl"].rows) == expected


def test_empty_fields_of_the_filter_bar_filter_nothing(browser):
    fill(2)
    response = browser.get(f"{LIST}?q=&account=&refund_state=&created_after=&processor=stripe")
    assert len(shown(response)) == 2


def test_dates_are_whole_days(browser):
    account = fill(1)
    Transaction.objects.update(created_at=datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC))
    assert shown(browser.get(f"{LIST}?created_after=2026-03-01&created_before=2026-03-01"))
    assert not shown(browser.get(f"{LIST}?created_before=2026-02-28"))
    assert not shown(browser.get(f"{LIST}?created_after=2026-03-02"))
    assert account


class TestQueries:
    """What a page costs."""

    @staticmethod
    def of(browser, address):
        browser.get(address)  # the first one looks content types up
        with CaptureQueriesContext(connection) as queries:
            response = browser.get(address)
        assert response.status_code == 200
        return [query["sql"] for query in queries]

    @pytest.mark.parametrize("query", ["", "?processor=stripe", "?q=stripe", "?refund_failed=true"])
    def test_their_number_does_not_depend_on_the_table(self, browser, query):
        account = fill(60)
        small = self.of(browser, LIST + query)
        fill(440, account=make_account())
        large = self.of(browser, LIST + query)
        assert len(large) == len(small) <= 11
        assert account

    def test_none_counts(self, browser):
        fill(120)
        for address in (
            LIST,
            f"{LIST}?q=stripe",
            f"{LIST}?refund_state=none",
            "/admin/refunds/refund/",
        ):
            assert not [sql for sql in self.of(browser, address) if "COUNT(" in sql]

    def test_deep_pages_cost_as_much(self, browser):
        fill(300)
        first = self.of(browser, LIST)
        deep = browser.get(LIST)
        for _ in range(4):
            deep = browser.get(LIST + deep.context["cl"].older_url)
        assert len(self.of(browser, LIST + deep.context["cl"].older_url)) == len(first)


INDEXED = {
    "": "transaction_newest",
    "?processor=paypal": "transaction_by_processor",
    "?account=paypal-big": "transaction_by_account",
    "?refund_state=none&processor=nmi": "transaction_by_",
    "?refund_state=partial": "transaction_by_refund_state",
    "?currency=EUR": "transaction_by_currency",
    "?method=jcb": "transaction_by_brand",
    "?method=bank": "transaction_by_method",
    "?wallet=apple_pay": "transaction_by_wallet",
    "?amount_min=5000": "transaction_by_amount",
    "?duplicate=true": "transaction_with_a_twin",
    "?q=needle": "transaction_search",
    "?p=older.1772107200000000.5": "transaction_newest",
    "?p=newer.1772107200000000.5": "transaction_newest",
}


_MANY = """
INSERT INTO transactions_transaction (account_id, processor, mode, external_id, related_ids, currency,
  amount_minor, refunded_minor, reserved_minor, over_refunded, status, disputed, method_type, brand,
  last4, wallet, customer_name, customer_email, order_reference, description, created_at,
  has_details, synced_at)
SELECT %s, %s, 'test', md5(n::text) || n, '', 'USD', 10000, 0, 0, false, 'settled', false, 'card',
  'visa', '4242', '', '', '', '', '', timestamptz '2026-03-01 12:00Z' - n * interval '1 minute',
  true, now()
FROM generate_series(1, 7000) AS n
"""


def test_every_list_walks_an_index(browser):
    """PostgreSQL's own word, on a table that is large enough to be worth one."""
    with connection.cursor() as cursor:
        for processor in ("paypal", "nmi", "stripe"):
            account = make_account(f"{processor}-big", processor)
            cursor.execute(_MANY, [account.pk, processor])
        cursor.execute("SELECT gin_clean_pending_list('transaction_search')")
        cursor.execute("ANALYZE transactions_transaction")
    for query, index in INDEXED.items():
        plan = explain_list(browser, LIST + query, "transactions_transaction")
        assert index in plan, (query, plan)
        assert "Seq Scan on transactions_transaction " not in plan, (query, plan)


def test_every_processor_has_its_list(browser):
    for processor in Processor.values:
        fill(1, account=make_account(processor=processor))
    for processor in Processor.values:
        response = browser.get(f"{LIST}?processor={processor}")
        assert [row.transaction.processor for row in response.context["cl"].rows] == [processor]


@pytest.mark.parametrize(
    ("number", "told"),
    [(60, "60"), (104, "100"), (105, "110"), (47_912, "48,000"), (999_500, "1,000,000")],
)
def test_a_number_from_statistics_has_two_digits(number, told):
    assert about(number) == told


def test_only_more_than_a_page_is_told_about(browser):
    fill(50)
    assert browser.get(LIST).context["cl"].how_many == ""
    fill(70)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE transactions_transaction")
    assert "about 120 transactions" in visible(browser.get(LIST))
    assert browser.get(f"{LIST}?q=no+such+thing").context["cl"].how_many == ""
