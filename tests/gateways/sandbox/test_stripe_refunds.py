"""What Stripe accepts, refuses and leaves pending."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from gateways.sandbox.stripe_objects import from_stripe, to_stripe

from .merchants import Stripe, error_of, new_key
from .openapi import needs_specs, stripe_spec

INVALID = "invalid_request_error"


def test_a_partial_refund_is_recorded_to_the_minor_unit(sandbox, stripe):
    payment = stripe.pay(10_000, "EUR")
    answer = stripe.refund(payment, amount=33_33, reason="requested_by_customer")
    refund = answer.data
    assert answer.status == 200
    assert (refund["amount"], refund["currency"], refund["status"]) == (3333, "eur", "succeeded")
    assert refund["charge"] == payment.id
    assert refund["payment_intent"] == payment.id.replace("ch_", "pi_")
    assert sandbox.ledger.refundable_minor(payment) == 6667
    assert stripe.get(f"/v1/refunds/{refund['id']}").data == refund


def test_without_an_amount_the_rest_is_refunded(stripe):
    payment = stripe.pay(10_000)
    stripe.refund(payment, amount=4_000)
    assert stripe.refund(payment).data["amount"] == 6_000
    charge = stripe.get(f"/v1/charges/{payment.id}").data
    assert (charge["amount_refunded"], charge["refunded"]) == (10_000, True)


def test_a_refund_by_payment_intent_and_by_the_old_address(stripe):
    payment = stripe.pay()
    intent_id = payment.id.replace("ch_", "pi_")
    by_intent = stripe.post("/v1/refunds", {"payment_intent": intent_id, "amount": 100})
    by_address = stripe.post(f"/v1/charges/{payment.id}/refunds", {"amount": 200})
    assert (by_intent.data["charge"], by_address.data["amount"]) == (payment.id, 200)


def test_more_than_is_left_is_refused_without_a_code(stripe):
    payment = stripe.pay(10_000)
    stripe.refund(payment, amount=9_000)
    answer = stripe.refund(payment, amount=1_001)
    assert error_of(answer) == (400, INVALID, None, "amount")
    assert "greater than unrefunded amount" in answer.data["error"]["message"]


def test_a_payment_that_is_fully_refunded_is_refused(stripe):
    payment = stripe.pay()
    stripe.refund(payment)
    assert error_of(stripe.refund(payment, amount=1))[:3] == (
        400,
        INVALID,
        "charge_already_refunded",
    )


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"dispute": "open"}, "refund_disputed_payment"),
        ({"dispute": "chargeback"}, "charge_disputed"),
        ({"status": "failed"}, "charge_not_refundable"),
        ({"status": "authorized"}, "payment_intent_unexpected_state"),
    ],
)
def test_a_payment_in_the_wrong_state_is_refused(stripe, values, code):
    assert error_of(stripe.refund(stripe.pay(**values)))[2] == code


def test_an_inquiry_does_not_stop_a_refund(stripe):
    assert stripe.refund(stripe.pay(dispute="inquiry")).data["status"] == "succeeded"


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"amount": "10.5"}, "parameter_invalid_integer", "amount"),
        ({"amount": "1e3"}, "parameter_invalid_integer", "amount"),
        ({"amount": " 5"}, "parameter_invalid_integer", "amount"),
        ({"amount": "٥"}, "parameter_invalid_integer", "amount"),
        ({"amount": "0"}, "parameter_invalid_integer", "amount"),
        ({"amount": "-5"}, "parameter_invalid_integer", "amount"),
        ({"amount": ""}, "parameter_invalid_empty", "amount"),
        ({"amount": "1000000000000"}, "amount_too_large", "amount"),
        ({"amount": "9" * 400}, "parameter_invalid_integer", "amount"),
        ({"amount[minor]": "5"}, None, "amount"),
        ({"charge": ""}, "parameter_invalid_empty", "charge"),
        ({"payment_intent": "pi_1"}, "parameters_exclusive", "charge"),
        ({"reason": "because"}, None, "reason"),
        ({"refund": "all"}, "parameter_unknown", "refund"),
        ({"currency": "usd"}, None, "currency"),
        ({"reverse_transfer": "true"}, "charge_invalid_parameter", "reverse_transfer"),
        ({"metadata": "text"}, None, "metadata"),
        ({"metadata[" + "k" * 41 + "]": "v"}, None, "metadata"),
        ({"metadata[k]": "v" * 501}, None, "metadata"),
        ({f"metadata[{n}]": "v" for n in range(51)}, None, "metadata"),
        ({"expand[]": "customer"}, None, "expand"),
    ],
)
def test_a_wrong_parameter_is_refused_and_nothing_happens(sandbox, stripe, params, code, param):
    payment = stripe.pay()
    assert error_of(stripe.refund(payment, **params)) == (400, INVALID, code, param)
    assert sandbox.ledger.refunds_of(payment) == []


def test_neither_charge_nor_intent(stripe):
    assert error_of(stripe.post("/v1/refunds", {"amount": 5}))[2] == "parameter_missing"
    unknown = stripe.post("/v1/refunds", {"payment_intent": "ch_of_a_charge"})
    assert error_of(unknown)[2:] == ("resource_missing", "payment_intent")


@needs_specs
@pytest.mark.parametrize("unknown", ["refund", "Amount", "note", "orderid"])
def test_what_the_specification_does_not_know_is_refused(stripe, unknown):
    spec = stripe_spec()
    assert spec.check_form("POST", "/v1/refunds", {"charge": "ch_1", "amount": 1})
    assert not spec.check_form("POST", "/v1/refunds", {"charge": "ch_1", unknown: "1"})
    assert error_of(stripe.refund(stripe.pay(), **{unknown: "1"}))[2] == "parameter_unknown"


@pytest.mark.parametrize(
    ("currency", "minor", "amount"),
    [
        ("USD", 1_050, 1_050),
        ("JPY", 1_500, 1_500),
        ("KWD", 12_340, 12_340),
        ("ISK", 1_500, 150_000),
        ("UGX", 7, 700),
        ("MGA", 500, 5),
        ("HUF", 100_50, 100_50),
    ],
)
def test_amounts_in_the_exponents_of_stripe(currency, minor, amount):
    assert to_stripe(minor, currency) == amount
    assert from_stripe(amount, currency) == minor


@pytest.mark.parametrize(("currency", "amount"), [("ISK", 150_050), ("UGX", 7), ("KWD", 12_345)])
def test_an_amount_finer_than_the_currency_is_refused(sandbox, stripe, currency, amount):
    assert from_stripe(amount, currency) is None
    payment = stripe.pay(1_000_000, currency)
    assert error_of(stripe.refund(payment, amount=amount))[2] == "invalid_charge_amount"


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        (14_01, 400, "charge_not_refundable"),
        (4_02, 402, "card_declined"),
        (4_03, 400, "balance_insufficient"),
        (24_24, 424, "external_dependency_failed"),
        (4_29, 429, "lock_timeout"),
    ],
)
def test_magic_amounts(stripe, amount, status, code):
    assert error_of(stripe.refund(stripe.pay(), amount=amount))[0:3:2] == (status, code)


def test_card_7726_is_pending_and_succeeds_by_itself(sandbox, stripe):
    payment = stripe.pay(last4="7726")
    refund = stripe.refund(payment).data
    assert (refund["status"], refund["pending_reason"]) == ("pending", "processing")
    sandbox.clock.advance(timedelta(seconds=21))
    assert stripe.get(f"/v1/refunds/{refund['id']}").data["status"] == "succeeded"


def test_card_5126_succeeds_and_fails_by_itself(sandbox, stripe):
    payment = stripe.pay(last4="5126")
    refund = stripe.refund(payment).data
    assert refund["status"] == "succeeded"
    assert "failure_reason" not in refund
    sandbox.clock.advance(timedelta(seconds=21))
    later = stripe.get(f"/v1/refunds/{refund['id']}").data
    assert (later["status"], later["failure_reason"]) == ("failed", "expired_or_canceled_card")
    assert stripe.get(f"/v1/charges/{payment.id}").data["amount_refunded"] == 0


def test_without_balance_a_card_refund_waits_and_a_bank_refund_fails(japan, control):
    card, bank = japan.pay(5_000, "JPY"), japan.pay(5_000, "USD", method_type="bank", brand="ach")
    waiting, failed = japan.refund(card, amount=2_000).data, japan.refund(bank).data
    assert (waiting["status"], waiting["pending_reason"]) == ("pending", "insufficient_funds")
    assert (failed["status"], failed["failure_reason"]) == ("failed", "insufficient_funds")
    control("/accounts", {"account": "stripe-japan", "balance": {"JPY": 2_500}})
    assert japan.get(f"/v1/refunds/{waiting['id']}").data["status"] == "succeeded"
    assert japan.get("/v1/balance").data["available"][0]["amount"] == 500


def test_a_payment_on_its_way_makes_the_refund_wait(sandbox, stripe):
    payment = stripe.pay(status="captured", method_type="bank", brand="sepa", currency="EUR")
    refund = stripe.refund(payment).data
    assert (refund["status"], refund["pending_reason"]) == ("pending", "charge_pending")
    assert stripe.get(f"/v1/charges/{payment.id}").data["status"] == "pending"


def test_a_refund_that_waits_for_the_customer_can_be_cancelled_or_expire(stripe):
    payment = stripe.pay()
    first, second = (stripe.refund(payment, amount=4_05).data["id"] for _ in range(2))
    assert stripe.get(f"/v1/refunds/{first}").data["status"] == "requires_action"
    assert stripe.post(f"/v1/refunds/{first}/cancel").data["status"] == "canceled"
    assert stripe.post(f"/v1/refunds/{first}/cancel").status == 400
    assert stripe.post(f"/v1/test_helpers/refunds/{second}/expire").data["status"] == "failed"
    assert stripe.post("/v1/refunds/re_unknown/cancel").status == 404
    assert stripe.refund(payment).data["amount"] == payment.amount_minor


def test_only_metadata_can_be_changed_later(stripe):
    refund = stripe.refund(stripe.pay(), **{"metadata[a]": "1", "metadata[b]": "2"}).data
    path = f"/v1/refunds/{refund['id']}"
    changed = stripe.post(path, {"metadata[a]": "", "metadata[c]": "3"})
    assert changed.data["metadata"] == {"b": "2", "c": "3"}
    assert stripe.post(path, {"metadata": ""}).data["metadata"] == {}
    assert error_of(stripe.post(path, {"amount": 5}))[2] == "parameter_unknown"


def test_an_authorised_payment_is_cancelled_whole(sandbox, stripe):
    payment = stripe.pay(status="authorized")
    path = f"/v1/payment_intents/{payment.id.replace('ch_', 'pi_')}/cancel"
    assert error_of(stripe.post(path, {"cancellation_reason": "why"}))[3] == "cancellation_reason"
    cancelled = stripe.post(path, {"cancellation_reason": "requested_by_customer"}).data
    assert (cancelled["status"], cancelled["amount_capturable"]) == ("canceled", 0)
    charge = stripe.get(f"/v1/charges/{payment.id}").data
    assert (charge["refunded"], charge["captured"]) == (True, False)
    (void,) = stripe.get("/v1/refunds", {"charge": payment.id}).data["data"]
    assert (void["amount"], void["status"]) == (payment.amount_minor, "succeeded")
    assert error_of(stripe.post(path))[2] == "payment_intent_unexpected_state"
    assert error_of(stripe.refund(payment))[2] == "charge_already_refunded"


def test_the_sum_holds_under_concurrency(sandbox, stripe):
    payment = stripe.pay(10_000)

    def ask(_number):
        merchant = Stripe(sandbox)
        try:
            return merchant.refund(payment, amount=6_000, key=new_key()).status
        finally:
            merchant.close()

    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(ask, range(40)))
    assert statuses.count(200) == 1
    assert sandbox.ledger.refundable_minor(payment) == 4_000


def test_small_concurrent_refunds_end_at_exactly_nothing(sandbox, stripe):
    payment = stripe.pay(10_000)

    def ask(_number):
        merchant = Stripe(sandbox)
        try:
            return [merchant.refund(payment, amount=999).status for _ in range(3)]
        finally:
            merchant.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = [status for some in pool.map(ask, range(8)) for status in some]
    assert statuses.count(200) == 10
    assert sandbox.ledger.refundable_minor(payment) == 10
