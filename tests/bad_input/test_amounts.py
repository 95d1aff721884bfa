"""What is no amount, at every door that takes one."""

import io
import json

import pytest

from gateways.money import Money
from refunds.models import Refund
from tests.rest import make_account, make_transaction
from transactions.imports import import_csv

from .items import AMOUNTS, CURRENCIES, DECIMALS, JSON_AMOUNTS
from .refusing import assert_money_refused, assert_refused

EXACT = [("100.00", 10_000), ("100", 10_000), ("0.01", 1), ("99.9", 9_990)]
# A bound may be zero, and larger than any payment; no currency limits its decimals.
BOUNDS = {"0", "0.00", "12.345", "0.001", "2147483648"}
RULES = "/admin/refunds/approvalrule/add/"
BEYOND = ["100.01", "101", "999999999.99"]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_the_dialog_refuses_it(doors, untouched, amount):
    assert_money_refused(doors.refund_by_form(amount=amount), untouched)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_the_dialog_refuses_it_as_what_is_expected_to_be_left(doors, untouched, amount):
    assert_money_refused(doors.refund_by_form(expected_refundable=amount), untouched)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_the_preview_says_why(doors, untouched, amount):
    response = doors.preview(amount)
    assert response.status_code == (400 if "\x00" in amount else 200)
    assert response.status_code == 400 or b'class="problem"' in response.content
    untouched.check()


@pytest.mark.parametrize("amount", [json.dumps(each) for each in AMOUNTS] + JSON_AMOUNTS)
def test_the_api_refuses_it(doors, untouched, amount):
    body = f'{{"amount": {amount}, "reason": "other"}}'
    response = doors.say(f"transactions/{doors.payment.pk}/refunds", body)
    assert "amount" in assert_money_refused(response, untouched)
    body = f'{{"amount": "1.00", "reason": "other", "expected_refundable": {amount}}}'
    response = doors.say(f"transactions/{doors.payment.pk}/refunds", body)
    assert "expected_refundable" in assert_money_refused(response, untouched)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_file_of_payments_refuses_it(doors, untouched, amount):
    quoted = amount.replace('"', '""')
    text = "external_id,amount,currency,created_at,status\n"
    text += f'ch_new,"{quoted}",USD,2026-07-01T12:00:00Z,settled\n'
    report = import_csv(io.BytesIO(text.encode()), doors.account)
    assert report.error_count
    assert all(str(error).strip() for error in report.errors)
    untouched.check()


@pytest.mark.parametrize("amount", [each for each in AMOUNTS if each.strip()])
def test_the_lists_filter_by_none_and_say_so(doors, untouched, amount):
    for name in ("amount_min", "amount_max"):
        response = doors.api.get("/api/v1/transactions/", {name: amount})
        if amount in BOUNDS:
            assert response.status_code == 200
        else:
            assert_refused(response, untouched)
        page = doors.browser.get("/admin/transactions/transaction/", {name: amount})
        assert page.status_code == (400 if "\x00" in amount else 200)


@pytest.mark.parametrize("amount", BEYOND)
def test_more_than_is_left_is_refused(doors, untouched, amount):
    assert "100.00" in assert_money_refused(doors.refund_by_form(amount=amount), untouched)
    assert "100.00" in assert_money_refused(doors.refund_by_api(amount=amount), untouched)


@pytest.mark.parametrize(("amount", "minor"), EXACT)
def test_up_to_exactly_what_is_left_it_is_taken(doors, amount, minor):
    assert doors.refund_by_form(amount=amount).status_code == 302
    assert Refund.objects.get().amount_minor == minor


@pytest.mark.parametrize(("currency", "amount"), DECIMALS)
def test_decimals_that_the_currency_does_not_have(doors, currency, amount):
    payment = make_transaction(doors.account, currency=currency, amount_minor=1_000_000)
    untouched = doors.untouched()
    assert currency in assert_money_refused(doors.refund_by_form(payment, amount=amount), untouched)
    assert_money_refused(doors.refund_by_api(payment, amount=amount), untouched)


def test_a_field_that_comes_twice(doors, untouched):
    for name, values in (
        ("amount", ["1.00", "100.00"]),
        ("expected_refundable", ["100.00", "1.00"]),
        ("reason", ["other", "goodwill"]),
        ("note", ["a", "b"]),
    ):
        assert_money_refused(doors.refund_by_form(**{name: values}), untouched)


def test_a_key_that_comes_twice(doors, untouched):
    address = f"transactions/{doors.payment.pk}/refunds"
    for body in (
        '{"amount": "1.00", "amount": "100.00", "reason": "other"}',
        '{"amount": "1.00", "reason": "other", "reason": "other"}',
        '{"amount": "1.00", "\\u0061mount": "100.00", "reason": "other"}',
    ):
        assert_money_refused(doors.say(address, body), untouched)


@pytest.mark.parametrize("currency", [*CURRENCIES, "EUR", "USD"])
def test_nobody_chooses_another_currency(doors, untouched, currency):
    assert "currency" in assert_money_refused(doors.refund_by_api(currency=currency), untouched)
    body = json.dumps({"amount": {"value": "1.00", "currency": currency}, "reason": "other"})
    address = f"transactions/{doors.payment.pk}/refunds"
    assert_money_refused(doors.say(address, body), untouched)
    assert_money_refused(doors.refund_by_form(amount=f"5 {currency}"), untouched)


def test_the_form_has_no_field_for_a_currency(doors):
    doors.refund_by_form(currency="EUR")
    assert Refund.objects.get().amount == Money(1_250, "USD")


@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_file_of_payments_and_a_limit_take_currencies_only(doors, untouched, currency):
    text = "external_id,amount,currency,created_at,status\n"
    text += f'ch_new,1.00,"{currency}",2026-07-01T12:00:00Z,settled\n'
    assert import_csv(io.BytesIO(text.encode()), doors.account).error_count
    untouched.check()
    if currency != "usd":  # the form writes it in capitals
        values = {"kind": "payment", "currency": currency, "above": "100"}
        assert_refused(doors.browser.post(RULES, values), untouched)


# A limit may be zero; Django's forms cut the blanks around what is typed.
@pytest.mark.parametrize("amount", sorted({*map(str.strip, AMOUNTS)} - {"", "5", "0", "0.00"}))
def test_a_limit_is_an_amount(doors, untouched, amount):
    values = {"kind": "payment", "currency": "USD", "above": amount}
    assert_refused(doors.browser.post(RULES, values), untouched)


@pytest.mark.parametrize("amount", sorted({*map(str.strip, AMOUNTS)} - {"5", *BOUNDS}))
def test_a_campaign_has_no_other_bound_than_an_amount(doors, untouched, amount):
    values = {
        "name": "Outage", "percent": "100", "reason": "other", "most_refunds": "5",
        "most_money": amount, "file": io.BytesIO(b"payment\nch_1\n"),
    }  # fmt: skip
    assert_refused(doors.browser.post("/admin/campaigns/campaign/new/", values), untouched)


def test_two_payments_of_one_account_are_none_of_another(doors):
    other = make_transaction(make_account("theirs"), currency="EUR")
    untouched = doors.untouched()
    assert_money_refused(doors.refund_by_form(other, amount="5 USD"), untouched)
