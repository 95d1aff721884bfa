"""What Authorize.net reports: batches, lists, pages and details."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from .wire import AuthorizeNet, code_of, ids, pass_cutoff, pay, verdict


@pytest.fixture
def account(sandbox):
    return sandbox.ledger.accounts["authorizenet-us"]


@pytest.fixture
def merchant(sandbox, account):
    return AuthorizeNet(sandbox, account)


def batches(merchant, first, last, *, statistics=False):
    inner = (
        f"<includeStatistics>{str(statistics).lower()}</includeStatistics>"
        f"<firstSettlementDate>{first:%Y-%m-%dT%H:%M:%SZ}</firstSettlementDate>"
        f"<lastSettlementDate>{last:%Y-%m-%dT%H:%M:%SZ}</lastSettlementDate>"
    )
    return merchant.call("getSettledBatchListRequest", inner)


def recent_batches(sandbox, merchant, **options):
    now = sandbox.clock.now()
    return batches(merchant, now - timedelta(days=30), now + timedelta(days=1), **options)


def in_batch(merchant, batch_id, *, limit=1000, offset=1, order="id", descending=False):
    return merchant.call(
        "getTransactionListRequest",
        f"<batchId>{batch_id}</batchId><sorting><orderBy>{order}</orderBy>"
        f"<orderDescending>{str(descending).lower()}</orderDescending></sorting>"
        f"<paging><limit>{limit}</limit><offset>{offset}</offset></paging>",
    )


def test_a_payment_moves_from_the_unsettled_list_into_a_batch(sandbox, account, merchant):
    payment = pay(sandbox, account, status="captured", days_ago=0)
    assert ids(merchant.unsettled()) == [payment.id]
    assert code_of(recent_batches(sandbox, merchant)) == (
        "getSettledBatchListResponse",
        "I00004",
    )
    pass_cutoff(sandbox)
    assert code_of(merchant.unsettled())[1] == "I00004"
    batch_id = recent_batches(sandbox, merchant).findtext("batchList/batch/batchId")
    listed = in_batch(merchant, batch_id)
    assert ids(listed) == [payment.id]
    assert listed.findtext("totalNumInResultSet") == "1"
    assert listed.findtext(".//transactionStatus") == "settledSuccessfully"


def test_one_batch_per_day_and_payment_method(sandbox, account, merchant):
    for _ in range(2):
        pay(sandbox, account, status="captured", days_ago=0)
        pay(sandbox, account, status="captured", days_ago=0, method_type="bank", brand="ach")
        pass_cutoff(sandbox)
    found = recent_batches(sandbox, merchant)
    assert sorted(element.text for element in found.iter("paymentMethod")) == [
        "creditCard",
        "creditCard",
        "eCheck",
        "eCheck",
    ]
    assert len({element.text for element in found.iter("batchId")}) == 4
    assert [len(ids(in_batch(merchant, element.text))) for element in found.iter("batchId")] == [
        1,
        1,
        1,
        1,
    ]
    times = [element.text for element in found.iter("settlementTimeUTC")]
    assert all(text.endswith("T07:00:00.000Z") for text in times)


def test_statistics_add_up(sandbox, account, merchant):
    first = pay(sandbox, account, major="10.00")
    cut = first.settled_at.replace(hour=7, minute=0, second=0, microsecond=0)
    sandbox.ledger.change(first, settled_at=cut)
    pay(sandbox, account, major="5.50", settled_at=cut)
    pay(sandbox, account, status="voided", settled_at=cut)
    pay(sandbox, account, status="failed", settled_at=cut, brand="amex")
    found = batches(merchant, cut, cut, statistics=True)
    by_brand = {
        statistic.findtext("accountType"): {
            field.tag: field.text for field in statistic if field.tag != "accountType"
        }
        for statistic in found.iter("statistic")
    }
    assert by_brand["Visa"]["chargeAmount"] == "15.50"
    assert (by_brand["Visa"]["chargeCount"], by_brand["Visa"]["voidCount"]) == ("2", "1")
    assert by_brand["AmericanExpress"]["declineCount"] == "1"
    assert batches(merchant, cut, cut).find(".//statistics") is None


def test_asks_for_31_days_at_most(sandbox, merchant):
    now = sandbox.clock.now()
    days = timedelta(days=31)
    assert code_of(batches(merchant, now - days, now))[1] == "I00004"
    too_long = batches(merchant, now - days - timedelta(seconds=1), now)
    assert code_of(too_long) == ("ErrorResponse", "E00013")
    assert code_of(batches(merchant, now, now - days)) == ("ErrorResponse", "E00013")
    half = "<firstSettlementDate>2025-01-01T00:00:00Z</firstSettlementDate>"
    answer = merchant.call("getSettledBatchListRequest", half)
    assert code_of(answer) == ("ErrorResponse", "E00014")


def test_without_dates_the_last_day_counts(sandbox, account, merchant):
    pay(sandbox, account, status="captured", days_ago=0)
    pass_cutoff(sandbox)
    assert merchant.call("getSettledBatchListRequest").findtext(".//batchId")
    sandbox.clock.advance(timedelta(days=2))
    assert code_of(merchant.call("getSettledBatchListRequest"))[1] == "I00004"


@pytest.mark.parametrize("batch_id", ["1", "99999999999999999999991", "17000000003", "0"])
def test_a_batch_that_is_not_there_is_empty(merchant, batch_id):
    assert code_of(in_batch(merchant, batch_id))[1] == "I00004"


def test_a_batch_must_be_named(merchant):
    answer = merchant.call("getTransactionListRequest")
    assert code_of(answer) == ("ErrorResponse", "E00014")


def test_pages_count_from_one_and_hold_every_payment_once(sandbox, account, merchant):
    paid = [pay(sandbox, account, status="captured", days_ago=0).id for _ in range(7)]
    pass_cutoff(sandbox)
    batch_id = recent_batches(sandbox, merchant).findtext(".//batchId")
    pages = [ids(in_batch(merchant, batch_id, limit=3, offset=page)) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [*pages[0], *pages[1], *pages[2]] == sorted(paid)
    assert in_batch(merchant, batch_id, limit=3).findtext("totalNumInResultSet") == "7"
    assert code_of(in_batch(merchant, batch_id, limit=3, offset=4))[1] == "I00004"
    newest = in_batch(merchant, batch_id, limit=2, order="submitTimeUTC", descending=True)
    assert ids(newest) == paid[:-3:-1]


@pytest.mark.parametrize(("limit", "offset"), [(0, 1), (1001, 1), (1, 0), (1, 100_001)])
def test_paging_has_limits(merchant, limit, offset):
    answer = in_batch(merchant, "1", limit=limit, offset=offset)
    assert code_of(answer) == ("ErrorResponse", "E00003")


def test_a_list_shows_names_invoices_and_no_more(sandbox, account, merchant):
    pay(
        sandbox,
        account,
        status="captured",
        payer_name="Żaneta <O'Brien> & Łukasz 山田",
        order_reference="INV&1",
        brand="mastercard",
        last4="4444",
        major="1234.50",
    )
    entry = merchant.unsettled().find("transactions/transaction")
    assert entry.findtext("firstName") == "Żaneta"
    assert entry.findtext("lastName") == "<O'Brien> & Łukasz 山田"
    assert entry.findtext("invoiceNumber") == "INV&1"
    assert entry.findtext("accountType") == "MasterCard"
    assert entry.findtext("accountNumber") == "XXXX4444"
    assert Decimal(entry.findtext("settleAmount")) == Decimal("1234.50")
    assert entry.find("refTransId") is None


def test_local_times_are_behind_and_say_no_zone(sandbox, account, merchant):
    payment = pay(sandbox, account, status="captured")
    entry = merchant.unsettled().find("transactions/transaction")
    utc = datetime.fromisoformat(entry.findtext("submitTimeUTC"))
    local = datetime.fromisoformat(entry.findtext("submitTimeLocal"))
    assert abs(utc - payment.created_at) < timedelta(milliseconds=1)
    assert local.tzinfo is None
    assert utc.replace(tzinfo=None) - local == timedelta(hours=7)


def test_an_empty_payer_has_no_bill_to(sandbox, account, merchant):
    payment = pay(sandbox, account, payer_name=None)
    assert merchant.details(payment.id).find("transaction/billTo") is None
    named = pay(sandbox, account, payer_name="Björk", payer_email="bjork@example.com")
    details = merchant.details(named.id)
    assert details.findtext("transaction/billTo/firstName") == "Björk"
    assert details.find("transaction/billTo/lastName") is None
    assert details.findtext("transaction/customer/email") == "bjork@example.com"


def test_details_of_a_payment(sandbox, account, merchant):
    payment = pay(sandbox, account, order_reference="SO-1", description="Desk lamp <green>")
    entry = merchant.details(payment.id).find("transaction")
    assert entry.findtext("transactionType") == "authCaptureTransaction"
    assert entry.findtext("order/description") == "Desk lamp <green>"
    assert entry.findtext("payment/creditCard/cardNumber") == "XXXX1111"
    assert entry.findtext("authAmount") == entry.findtext("settleAmount") == "100.00"
    assert entry.findtext("batch/settlementState") == "settledSuccessfully"
    assert entry.find("refTransId") is None


def test_details_of_a_refund_name_the_original_and_the_ref_id(sandbox, account, merchant):
    payment = pay(sandbox, account)
    refund_id = verdict(merchant.refund(payment, "1.00", reference="INV9", ref_id="ID9"))[2]
    answer = merchant.details(refund_id)
    assert answer.findtext("transrefId") == "ID9"
    assert answer.findtext("transaction/refTransId") == payment.id
    assert answer.findtext("transaction/transactionType") == "refundTransaction"
    assert answer.findtext("transaction/order/invoiceNumber") == "INV9"
    assert answer.findtext("transaction/settleAmount") == "1.00"
    listed = merchant.unsettled().find("transactions/transaction")
    assert listed.findtext("invoiceNumber") == "INV9"
    assert listed.findtext("transactionStatus") == "refundPendingSettlement"


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"status": "authorized"}, "authorizedPendingCapture"),
        ({"status": "captured"}, "capturedPendingSettlement"),
        ({}, "settledSuccessfully"),
        ({"status": "voided"}, "voided"),
        ({"status": "failed"}, "declined"),
        ({"dispute": "chargeback"}, "chargeback"),
        ({"dispute": "inquiry"}, "settledSuccessfully"),
        ({"status": "failed", "extra": {"processor_status": "generalError"}}, "generalError"),
        ({"status": "voided", "extra": {"processor_status": "FDSPendingReview"}}, "voided"),
    ],
)
def test_status_words(sandbox, account, merchant, facts, status):
    payment = pay(sandbox, account, **facts)
    assert merchant.details(payment.id).findtext("transaction/transactionStatus") == status


def test_a_wallet_is_a_token_and_a_bank_account_is_masked(sandbox, account, merchant):
    wallet = merchant.details(pay(sandbox, account, wallet="apple_pay").id)
    token = wallet.find("transaction/payment/tokenInformation")
    assert (token.findtext("tokenSource"), token.findtext("tokenNumber")) == (
        "Apple Pay",
        "XXXX1111",
    )
    bank = pay(sandbox, account, method_type="bank", brand="ach", last4="6789")
    bank_account = merchant.details(bank.id).find("transaction/payment/bankAccount")
    assert bank_account.findtext("accountNumber") == "XXXX6789"
    assert bank_account.findtext("nameOnAccount") == "Ada Lovelace"


def test_what_is_held_is_listed_as_such(sandbox, account, merchant):
    pay(sandbox, account, status="captured")
    held = pay(
        sandbox, account, status="authorized", extra={"processor_status": "FDSPendingReview"}
    )
    assert ids(merchant.unsettled("<status>pendingApproval</status>")) == [held.id]
    assert len(ids(merchant.unsettled("<status>any</status>"))) == 2


def test_a_new_refund_can_be_missing_for_a_while(sandbox, account, merchant):
    account.settings.lookup_lag_seconds = 60
    refund_id = verdict(merchant.refund(pay(sandbox, account), "1.00"))[2]
    assert code_of(merchant.unsettled())[1] == "I00004"
    sandbox.clock.advance(timedelta(seconds=61))
    assert ids(merchant.unsettled()) == [refund_id]


def test_overlong_facts_still_fit_the_schema(sandbox, account, merchant):
    payment = pay(
        sandbox,
        account,
        order_reference="X" * 50,
        description="Y" * 400,
        payer_name=f"{'é' * 80} {'ж' * 80}",
        payer_email="a" * 300,
        brand="<b>",
    )
    entry = merchant.details(payment.id).find("transaction")
    assert entry.findtext("order/invoiceNumber") == "X" * 20
    assert entry.findtext("billTo/lastName") == "ж" * 50
