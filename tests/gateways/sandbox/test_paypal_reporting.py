"""Transaction search: windows, pages, the cap, the lag, and what its rows say."""

from datetime import timedelta

import pytest

from gateways.sandbox import paypal_reporting

from .merchants import issue_of

PATH = "/v1/reporting/transactions"


def window(sandbox, days=5, **more):
    now = sandbox.clock.now()
    return {
        "start_date": (now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "end_date": (now + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S+00:00"),
        **more,
    }


def rows(answer):
    return [row["transaction_info"] for row in answer.data.get("transaction_details", [])]


def test_payments_and_refunds_stand_side_by_side(sandbox, paypal):
    payment = paypal.pay(
        10_000,
        payer_name="Ada King Lovelace",
        payer_email="ada@example.com",
        order_reference="SO-1",
        wallet="apple_pay",
    )
    refund = paypal.refund(payment, "12.50", invoice_id="R-1", custom_id="R-1").data
    answer = paypal.get(PATH, window(sandbox, fields="transaction_info,payer_info"))
    paid, back = rows(answer)
    assert paid["transaction_amount"] == {"currency_code": "USD", "value": "100.00"}
    assert (paid["transaction_event_code"], paid["instrument_type"]) == ("T0006", "APPLE_PAY")
    assert (paid["invoice_id"], paid["fee_amount"]["value"][0]) == ("SO-1", "-")
    assert paid["paypal_reference_id_type"] == "ODR"
    assert back["transaction_amount"]["value"] == "-12.50"
    assert back["transaction_id"] == refund["id"]
    assert (back["transaction_event_code"], back["paypal_reference_id"]) == ("T1107", payment.id)
    assert (back["invoice_id"], back["custom_field"]) == ("R-1", "R-1")
    payer = answer.data["transaction_details"][0]["payer_info"]
    assert payer["payer_name"]["surname"] == "Lovelace"
    assert payer["email_address"] == "ada@example.com"


def test_only_what_moved_balance_unless_asked(sandbox, paypal):
    for status in ("settled", "captured", "authorized", "failed"):
        paypal.pay(status=status)
    assert len(rows(paypal.get(PATH, window(sandbox)))) == 1
    everything = paypal.get(PATH, window(sandbox, balance_affecting_records_only="N"))
    assert sorted(row["transaction_status"] for row in rows(everything)) == ["D", "P", "P", "S"]
    codes = {row["transaction_event_code"] for row in rows(everything)}
    assert codes == {"T0005", "T1300"}


@pytest.mark.parametrize(
    "filters",
    [
        {"transaction_type": "T1107"},
        {"transaction_currency": "GBP", "transaction_amount": "100 TO 200"},
        {"transaction_status": "S", "transaction_currency": "GBP", "transaction_type": "T1107"},
    ],
)
def test_filters(sandbox, paypal, filters):
    payment = paypal.pay(5_000, "GBP")
    paypal.pay(5_000, "USD")
    refund = paypal.refund(payment, "1.50").data
    found = rows(paypal.get(PATH, window(sandbox, **filters)))
    assert [row["transaction_id"] for row in found] == [refund["id"]]
    by_id = rows(paypal.get(PATH, window(sandbox, transaction_id=payment.id)))
    assert [row["transaction_id"] for row in by_id] == [payment.id, refund["id"]]


def test_pages_count_from_one(sandbox, paypal):
    payments = [paypal.pay(age=timedelta(hours=hours)) for hours in range(12, 0, -1)]
    first = paypal.get(PATH, window(sandbox, page_size=5)).data
    assert (first["total_items"], first["total_pages"], first["page"]) == (12, 3, 1)
    found = []
    for page in (1, 2, 3):
        found += rows(paypal.get(PATH, window(sandbox, page_size=5, page=page)))
    assert [row["transaction_id"] for row in found] == [payment.id for payment in payments]
    assert rows(paypal.get(PATH, window(sandbox, page_size=5, page=4))) == []


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({"start_date": ""}, "MISSING_REQUIRED_PARAMETER"),
        ({"start_date": "2026-01-01"}, "INVALID_PARAMETER_SYNTAX"),
        ({"start_date": "2026-01-01T00:00:00"}, "INVALID_PARAMETER_SYNTAX"),
        ({"start_date": "2026-02-31T00:00:00Z"}, "INVALID_PARAMETER_SYNTAX"),
        ({"start_date": "0001-01-01T00:00:00+14:00"}, "INVALID_PARAMETER_SYNTAX"),
        ({"start_date": "2999-01-01T00:00:00Z"}, "INVALID_PARAMETER_VALUE"),
        ({"page": "0"}, "INVALID_PARAMETER_VALUE"),
        ({"page_size": "501"}, "INVALID_PARAMETER_VALUE"),
        ({"fields": "everything"}, "INVALID_PARAMETER_VALUE"),
        ({"limit": "5"}, "INVALID_PARAMETER_VALUE"),
        ({"transaction_amount": "1-2"}, "INVALID_PARAMETER_SYNTAX"),
    ],
)
def test_a_wrong_query_is_refused(sandbox, paypal, change, issue):
    assert issue_of(paypal.get(PATH, {**window(sandbox), **change})) == (400, issue)


def test_more_than_31_days_are_refused(sandbox, paypal):
    assert paypal.get(PATH, window(sandbox, days=30)).status == 200
    refused = paypal.get(PATH, window(sandbox, days=32))
    assert issue_of(refused)[0] == 400
    assert "31 days" in refused.data["details"][0]["description"]


def test_too_many_rows_are_refused(sandbox, paypal, monkeypatch):
    monkeypatch.setattr(paypal_reporting, "MOST", 3)
    for _ in range(4):
        paypal.pay()
    refused = paypal.get(PATH, window(sandbox))
    assert issue_of(refused) == (400, "RESULTSET_TOO_LARGE")
    assert (refused.data["total_items"], refused.data["maximum_items"]) == (4, 3)


def test_new_rows_come_late(sandbox, paypal, control):
    control("/accounts", {"account": "paypal-main", "lookup_lag_seconds": 3_600})
    payment = paypal.pay(age=timedelta(hours=2))
    paypal.refund(payment, "1.00")
    early = paypal.get(PATH, window(sandbox))
    assert [row["transaction_id"] for row in rows(early)] == [payment.id]
    assert early.data["end_date"] == early.data["last_refreshed_datetime"]
    sandbox.clock.advance(timedelta(minutes=61))
    assert len(rows(paypal.get(PATH, window(sandbox)))) == 2


def test_dates_are_in_the_zone_of_the_account(sandbox, paypal):
    paypal.pay()
    (row,) = rows(paypal.get(PATH, window(sandbox)))
    assert row["transaction_initiation_date"].endswith("-07:00")


def test_everything_and_old_payments(sandbox, paypal):
    paypal.pay(extra={"order": "none"})
    answer = paypal.get(PATH, window(sandbox, fields="all"))
    (detail,) = answer.data["transaction_details"]
    assert set(detail) == {"transaction_info", "payer_info", "cart_info"}
    info = detail["transaction_info"]
    assert info["transaction_event_code"] == "T0007"
    assert "paypal_reference_id" not in info


def test_an_empty_window(sandbox, paypal):
    answer = paypal.get(PATH, window(sandbox)).data
    assert (answer["total_items"], answer["total_pages"]) == (0, 0)
