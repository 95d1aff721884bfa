"""What PayPal accepts, refuses, leaves pending and repeats."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.waiting import wait_until

from .merchants import PayPal, issue_of, new_key


def test_a_partial_refund_to_the_minor_unit(sandbox, paypal):
    payment = paypal.pay(10_000, "USD")
    answer = paypal.refund(payment, "33.33", invoice_id="R-1", custom_id="R-1", note_to_payer="Hi")
    assert answer.status == 201
    refund = answer.data
    assert (refund["status"], refund["amount"]["value"]) == ("COMPLETED", "33.33")
    assert (refund["invoice_id"], refund["note_to_payer"]) == ("R-1", "Hi")
    assert sandbox.ledger.refundable_minor(payment) == 6_667
    paypal.refund(payment, "6.67")
    newest = paypal.refund(payment, "1.00").data
    total = newest["seller_payable_breakdown"]["total_refunded_amount"]["value"]
    assert total == "41.00"
    assert paypal.get(f"/v2/payments/refunds/{refund['id']}").data == refund


def test_minimal_is_the_default(paypal):
    made = paypal.refund(paypal.pay(), "1.00", prefer="").data
    assert set(made) == {"id", "status", "links"}


def test_an_empty_body_refunds_the_rest(paypal):
    payment = paypal.pay(10_000)
    paypal.refund(payment, "30.00")
    assert paypal.refund(payment).data["amount"]["value"] == "70.00"
    assert issue_of(paypal.refund(payment, "0.01")) == (422, "CAPTURE_FULLY_REFUNDED")
    other = paypal.pay(500)
    path = f"/v2/payments/captures/{other.id}/refund"
    assert paypal.post(path, b"", prefer="return=representation").data["amount"]["value"] == "5.00"


@pytest.mark.parametrize(
    ("currency", "value", "status", "issue"),
    [
        ("USD", "0.00", 422, "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("USD", "-1.00", 422, "CANNOT_BE_NEGATIVE"),
        ("USD", "1.005", 422, "DECIMAL_PRECISION"),
        ("USD", "100.01", 422, "REFUND_AMOUNT_EXCEEDED"),
        ("USD", "", 400, "INVALID_PARAMETER_SYNTAX"),
        ("USD", ".", 400, "INVALID_PARAMETER_SYNTAX"),
        ("USD", "1,00", 400, "INVALID_PARAMETER_SYNTAX"),
        ("USD", "1e2", 400, "INVALID_PARAMETER_SYNTAX"),
        ("USD", "٥", 400, "INVALID_PARAMETER_SYNTAX"),
        ("USD", "9" * 40, 400, "INVALID_PARAMETER_SYNTAX"),
        ("JPY", "10.00", 422, "DECIMALS_NOT_SUPPORTED"),
        ("HUF", "10.00", 422, "DECIMALS_NOT_SUPPORTED"),
    ],
)
def test_a_wrong_amount_is_refused(sandbox, paypal, currency, value, status, issue):
    payment = paypal.pay(10_000, currency)
    assert issue_of(paypal.refund(payment, value)) == (status, issue)
    assert sandbox.ledger.refunds_of(payment) == []


@pytest.mark.parametrize(
    ("wish", "status", "issue"),
    [
        ({"amount": {"value": "1.00"}}, 400, "MISSING_REQUIRED_PARAMETER"),
        ({"amount": {"currency_code": "USD"}}, 400, "MISSING_REQUIRED_PARAMETER"),
        ({"amount": {"currency_code": "USD", "value": 1}}, 400, "INVALID_PARAMETER_SYNTAX"),
        ({"amount": "1.00"}, 400, "INVALID_PARAMETER_SYNTAX"),
        ({"amount": {"currency_code": "US", "value": "1.00"}}, 400, "INVALID_STRING_LENGTH"),
        ({"amount": {"currency_code": "XXX", "value": "1.00"}}, 422, "INVALID_CURRENCY_CODE"),
        (
            {"amount": {"currency_code": "EUR", "value": "1.00"}},
            422,
            "REFUND_CAPTURE_CURRENCY_MISMATCH",
        ),
        ({"invoice_id": ""}, 400, "INVALID_STRING_LENGTH"),
        ({"custom_id": "c" * 128}, 400, "INVALID_STRING_LENGTH"),
        ({"note_to_payer": 5}, 400, "INVALID_PARAMETER_SYNTAX"),
        ([], 400, "INVALID_PARAMETER_SYNTAX"),
        (b"{", 400, "INVALID_PARAMETER_SYNTAX"),
    ],
)
def test_a_wrong_body_is_refused(sandbox, paypal, wish, status, issue):
    payment = paypal.pay()
    answer = paypal.call("POST", f"/v2/payments/captures/{payment.id}/refund", wish)
    assert issue_of(answer) == (status, issue)
    assert sandbox.ledger.refunds_of(payment) == []


def test_another_content_type_is_refused(paypal):
    path = f"/v2/payments/captures/{paypal.pay().id}/refund"
    assert issue_of(paypal.post(path, Content_Type="text/plain")) == (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )


def test_forint_are_whole(sandbox, paypal):
    payment = paypal.pay(1_500_00, "HUF")
    assert paypal.refund(payment, "500").data["amount"]["value"] == "500"
    assert sandbox.ledger.refundable_minor(payment) == 1_000_00


@pytest.mark.parametrize(
    ("values", "value", "issue"),
    [
        ({"status": "captured"}, "1.00", "PENDING_CAPTURE"),
        ({"status": "failed"}, "1.00", "REFUND_NOT_ALLOWED"),
        ({"dispute": "open"}, "1.00", "TRANSACTION_DISPUTED"),
        ({"dispute": "chargeback"}, None, "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"),
        ({"age": timedelta(days=181)}, "1.00", "REFUND_TIME_LIMIT_EXCEEDED"),
        ({}, "4.01", "REFUND_NOT_ALLOWED"),
        ({}, "14.02", "REFUND_FAILED_INSUFFICIENT_FUNDS"),
        ({}, "4.03", "PAYER_ACCOUNT_LOCKED_OR_CLOSED"),
        ({}, "4.04", "MAX_NUMBER_OF_REFUNDS_EXCEEDED"),
    ],
)
def test_what_is_refused(paypal, values, value, issue):
    assert issue_of(paypal.refund(paypal.pay(**values), value)) == (422, issue)


def test_a_disputed_payment_can_still_be_refunded_whole(paypal):
    assert paypal.refund(paypal.pay(dispute="open"), "100.00").status == 201


def test_an_unknown_capture_and_an_unknown_refund(paypal):
    assert issue_of(paypal.post("/v2/payments/captures/UNKNOWN/refund")) == (
        404,
        "INVALID_RESOURCE_ID",
    )
    assert paypal.get("/v2/payments/refunds/UNKNOWN").status == 404


@pytest.mark.parametrize(("value", "status"), [("4.05", "COMPLETED"), ("4.06", "FAILED")])
def test_a_pending_refund_ends_by_itself(sandbox, paypal, value, status):
    payment = paypal.pay()
    refund = paypal.refund(payment, value).data
    assert (refund["status"], refund["status_details"]["reason"]) == ("PENDING", "ECHECK")
    sandbox.clock.advance(timedelta(seconds=21))
    assert paypal.get(f"/v2/payments/refunds/{refund['id']}").data["status"] == status


def test_the_balance_pays(paypal, control):
    payment = paypal.pay()
    control("/accounts", {"account": "paypal-main", "balance": {"USD": 5_000}})
    assert paypal.refund(payment, "30.00").status == 201
    refused = paypal.refund(payment, "30.00")
    assert issue_of(refused) == (422, "REFUND_FAILED_INSUFFICIENT_FUNDS")
    balances = paypal.get("/v1/reporting/balances").data["balances"]
    assert balances[0]["available_balance"]["value"] == "20.00"


def test_an_issue_can_be_forced(sandbox, paypal):
    payment = paypal.pay()
    path = f"/v2/payments/captures/{payment.id}/refund"
    mock = '{"mock_application_codes": "REFUND_IS_RESTRICTED"}'
    forced = paypal.post(path, paypal_mock_response=mock)
    assert issue_of(forced) == (422, "REFUND_IS_RESTRICTED")
    assert paypal.post(path, paypal_mock_response="REFUND").status == 400
    held = paypal.pay(status="authorized")
    void = f"/v2/payments/authorizations/{held.id}/void"
    captured = '{"mock_application_codes": "PREVIOUSLY_CAPTURED"}'
    assert issue_of(paypal.post(void, paypal_mock_response=captured))[0] == 422
    assert sandbox.ledger.refunds_of(payment) == []


def test_a_request_id_replays_the_latest_state(sandbox, paypal):
    payment, key = paypal.pay(), new_key()
    first = paypal.refund(payment, "4.05", key=key)
    sandbox.clock.advance(timedelta(seconds=21))
    again = paypal.refund(payment, "4.05", key=key)
    assert (first.status, again.status) == (201, 200)
    assert (first.data["status"], again.data["status"]) == ("PENDING", "COMPLETED")
    assert first.data["id"] == again.data["id"]
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_another_body_under_the_same_id_is_ignored(sandbox, paypal):
    payment, key = paypal.pay(), new_key()
    first = paypal.refund(payment, "1.00", key=key).data
    assert paypal.refund(payment, "2.00", key=key).data["amount"] == first["amount"]
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_a_refusal_is_not_stored_under_the_id(paypal):
    payment, key = paypal.pay(), new_key()
    assert paypal.refund(payment, "999.00", key=key).status == 422
    assert paypal.refund(payment, "1.00", key=key).status == 201


def test_an_id_is_kept_for_45_days(sandbox, paypal):
    payment, key = paypal.pay(), new_key()
    paypal.refund(payment, "1.00", key=key, invoice_id="I-1")
    sandbox.clock.advance(timedelta(days=44))
    paypal.token = ""
    assert paypal.refund(payment, "1.00", key=key, invoice_id="I-1").status == 200
    sandbox.clock.advance(timedelta(days=2))
    paypal.token = ""
    late = paypal.refund(payment, "1.00", key=key, invoice_id="I-1")
    assert issue_of(late) == (422, "DUPLICATE_INVOICE_ID")
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_an_invoice_id_serves_one_refund(sandbox, paypal):
    first, second = paypal.pay(), paypal.pay()
    assert paypal.refund(first, "1.00", invoice_id="R-9").status == 201
    again = paypal.refund(second, "1.00", invoice_id="R-9")
    assert issue_of(again) == (422, "DUPLICATE_INVOICE_ID")


def test_without_an_id_a_repeat_is_a_second_refund(sandbox, paypal):
    payment = paypal.pay()
    paypal.refund(payment, "1.00")
    paypal.refund(payment, "1.00")
    assert len(sandbox.ledger.refunds_of(payment)) == 2


def test_a_twin_in_progress_gets_409(sandbox, paypal, control):
    payment, key = paypal.pay(), new_key()
    control("/faults", {"dialect": "paypal", "call": "refund", "what": "slow", "seconds": 30})
    paypal.token = paypal.fetch_token().data["access_token"]

    def ask():
        merchant = PayPal(sandbox)
        try:
            return merchant.refund(payment, "1.00", key=key)
        finally:
            merchant.close()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask)
        wait_until(lambda: (paypal.account.name, key) in sandbox.ledger.answers)
        twin = paypal.refund(payment, "1.00", key=key)
        control("/faults", method="DELETE")
        assert first.result(10).status == 201
    assert issue_of(twin) == (409, "PREVIOUS_REQUEST_IN_PROGRESS")
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_the_sum_holds_under_concurrency(sandbox, paypal):
    payment = paypal.pay(10_000)

    def ask(_number):
        merchant = PayPal(sandbox)
        try:
            return merchant.refund(payment, "60.00", key=new_key()).status
        finally:
            merchant.close()

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(ask, range(40)))
    assert statuses.count(201) == 1
    assert sandbox.ledger.refundable_minor(payment) == 4_000
