"""Money calls against a scripted processor: what is sent, and what each answer proves."""

from dataclasses import replace

import pytest

from gateways.base import FailureCode, RefundState
from gateways.errors import NotSent, OutcomeUnknown
from gateways.money import Money
from gateways.nmi import NmiGateway

from . import nmi_wire as wire
from .contract import GatewayContract
from .nmi_wire import KEY, REFUND, VOID, open_gateway, sent


@pytest.fixture
def gateway(processor):
    return open_gateway(processor)


def approved(**fields):
    return wire.money("1", "100", **{"transactionid": "2002", **fields})


class TestRefund:
    def test_sends_an_explicit_amount_and_our_reference(self, processor, gateway):
        processor.then(approved())
        result = gateway.refund(REFUND)
        assert (result.state, result.refund_id) == (RefundState.SUCCEEDED, "2002")
        assert result.failure is None
        assert sent(processor) == {
            "security_key": KEY,
            "type": "refund",
            "transactionid": "1001",
            "amount": "12.30",
            "orderid": REFUND.reference,
        }
        request = processor.received[0]
        assert request.path == "/api/transact.php"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.headers["connection"] == "close"

    def test_the_same_order_is_the_same_bytes(self, processor, gateway):
        processor.then(approved())
        processor.then(approved())
        gateway.refund(REFUND)
        gateway.refund(REFUND)
        assert processor.received[0].body == processor.received[1].body

    def test_the_evidence_has_no_secret(self, processor, gateway):
        processor.then(approved())
        (exchange,) = gateway.refund(REFUND).exchanges
        assert "amount=12.30" in exchange.request
        assert "transactionid=2002" in exchange.response
        assert KEY not in repr(exchange)

    def test_a_bank_payment_is_named_as_one(self, processor, gateway):
        processor.then(approved())
        gateway.refund(replace(REFUND, method_type="bank"))
        assert sent(processor)["payment"] == "check"

    @pytest.mark.parametrize(
        ("minor", "currency", "text"),
        [(1, "USD", "0.01"), (1500, "JPY", "1500.00"), (1500, "KWD", "1.500")],
    )
    def test_amounts_have_two_decimals_or_more(self, processor, gateway, minor, currency, text):
        processor.then(approved())
        money = Money(minor, currency)
        gateway.refund(replace(REFUND, amount=money, payment_amount=money))
        assert sent(processor)["amount"] == text

    @pytest.mark.parametrize("amount", [Money(0, "USD"), Money(-1, "USD"), Money(1, "EUR")])
    def test_what_must_not_be_sent_is_not(self, processor, gateway, amount):
        with pytest.raises(NotSent) as caught:
            gateway.refund(replace(REFUND, amount=amount))
        assert caught.value.reason == "refused_locally"
        assert processor.received == []

    @pytest.mark.parametrize(
        ("code", "failure"),
        [
            ("200", FailureCode.DECLINED_BY_BANK),
            ("202", FailureCode.INSUFFICIENT_BALANCE),
            ("203", FailureCode.LIMIT_REACHED),
            ("204", FailureCode.ACCOUNT_PROBLEM),
            ("223", FailureCode.CARD_NOT_VALID),
            ("252", FailureCode.CARD_NOT_VALID),
            ("264", FailureCode.DECLINED_BY_BANK),
            ("299", FailureCode.OTHER),
        ],
    )
    def test_a_decline_is_a_result(self, processor, gateway, code, failure):
        processor.then(wire.money("2", code, "DO NOT HONOR"))
        result = gateway.refund(REFUND)
        assert (result.state, result.failure.code) == (RefundState.FAILED, failure)
        assert (result.failure.processor_code, result.failure.message) == (code, "DO NOT HONOR")
        assert result.refund_id == ""

    @pytest.mark.parametrize(
        ("code", "failure"),
        [
            ("410", FailureCode.ACCOUNT_PROBLEM),
            ("411", FailureCode.ACCOUNT_PROBLEM),
            ("441", FailureCode.NOT_REFUNDABLE),
            ("461", FailureCode.ACCOUNT_PROBLEM),
        ],
    )
    def test_a_known_error_is_a_result(self, processor, gateway, code, failure):
        processor.then(wire.money("3", code, "No."))
        assert gateway.refund(REFUND).failure.code is failure

    @pytest.mark.parametrize(
        ("text", "failure"),
        [
            (
                "Refund amount may not exceed the transaction balance",
                FailureCode.EXCEEDS_REFUNDABLE,
            ),
            ("REFUND AMOUNT MAY NOT exceed the transaction balance.", None),
            ("Invalid Transaction ID specified", FailureCode.PAYMENT_NOT_FOUND),
            ("Invalid Transaction ID / Object ID specified: ", FailureCode.PAYMENT_NOT_FOUND),
            ("Transaction not found", FailureCode.PAYMENT_NOT_FOUND),
            ("Invalid amount", FailureCode.INVALID_AMOUNT),
            ("Only settled transactions can be refunded", FailureCode.NOT_SETTLED),
            (
                "The cc payment type [Visa] and/or currency [XXX] is not accepted",
                FailureCode.CURRENCY_NOT_ACCEPTED,
            ),
            ("Billing Information missing", FailureCode.ACCOUNT_PROBLEM),
        ],
    )
    def test_the_text_of_a_rejection_tells_why(self, processor, gateway, text, failure):
        processor.then(wire.money("3", "300", text))
        result = gateway.refund(REFUND)
        assert result.state is RefundState.FAILED
        assert result.failure.code is (failure or FailureCode.EXCEEDS_REFUNDABLE)
        assert result.failure.message == text.strip()

    @pytest.mark.parametrize(
        "text", ["Authentication Failed", "Invalid Username", "Specified API key not found"]
    )
    def test_a_key_that_is_not_accepted_sent_nothing(self, processor, gateway, text):
        processor.then(wire.money("3", "300", text))
        with pytest.raises(NotSent, match=text) as caught:
            gateway.refund(REFUND)
        assert caught.value.reason == "credentials"
        assert len(caught.value.exchanges) == 1

    def test_too_many_requests_by_code(self, processor, gateway):
        processor.then(wire.money("3", "301", "Rate limit exceeded"))
        with pytest.raises(NotSent) as caught:
            gateway.refund(REFUND)
        assert caught.value.reason == "rate_limited"

    def test_too_many_requests_by_status_prove_nothing(self, processor, gateway):
        processor.then(b"", 429, retry_after="7")
        with pytest.raises(OutcomeUnknown):
            gateway.refund(REFUND)

    @pytest.mark.parametrize(
        "answer",
        [
            wire.money("3", "400", "Transaction error returned by processor"),
            wire.money("3", "420", "Communication error"),
            wire.money("3", "421", "Communication error with issuer"),
            wire.money("3", "430", "Duplicate transaction at processor"),
            wire.money("3", "440", "Processor format error"),
            wire.money("3", "300", "Duplicate transaction"),
            wire.money("3", "300", "A text that nobody has seen before"),
            wire.money("3", "499", "Something new"),
            wire.money("2", "", "DECLINE"),
            wire.money("4", "100"),
            wire.money("", ""),
            approved(response_code="200"),
            approved(response_code=""),
            approved(transactionid=""),
            approved(transactionid="1001"),
            approved(orderid="SOMEONEELSE"),
            approved(type="sale"),
            approved() + "&transactionid=2003",
            approved().partition("&type")[0],
            wire.money("3", "300", "Refund amount may").partition("&avs")[0],
            "",
            "<html><body>502 = bad gateway</body></html>",
            b"\xff\xfe\x00",
        ],
    )
    def test_what_proves_nothing_is_unknown(self, processor, gateway, answer):
        processor.then(answer)
        with pytest.raises(OutcomeUnknown) as caught:
            gateway.refund(REFUND)
        assert len(caught.value.exchanges) == 1

    @pytest.mark.parametrize("status", [201, 302, 401, 403, 500, 502])
    def test_any_other_status_is_unknown(self, processor, gateway, status):
        processor.then(approved(), status)
        with pytest.raises(OutcomeUnknown, match=str(status)):
            gateway.refund(REFUND)

    def test_a_lost_answer_is_unknown_and_nothing_is_sent_twice(self, processor, gateway):
        processor.then(None)
        with pytest.raises(OutcomeUnknown):
            gateway.refund(REFUND)
        assert len(processor.received) == 1

    def test_fields_that_are_left_out_or_new_do_no_harm(self, processor, gateway):
        processor.then("response=1&transactionid=2002&response_code=100&cc_number=4***1111\n")
        assert gateway.refund(REFUND).refund_id == "2002"


class TestVoid:
    def test_names_the_payment_and_nothing_else(self, processor, gateway):
        processor.then(wire.money("1", "100", transactionid="1001", orderid="ORD-1", type="void"))
        result = gateway.void(VOID)
        assert (result.state, result.refund_id) == (RefundState.SUCCEEDED, "1001")
        assert sent(processor) == {
            "security_key": KEY,
            "type": "void",
            "transactionid": "1001",
        }

    def test_a_settled_payment_is_not_voided(self, processor, gateway):
        text = "Only transactions pending settlement can be voided"
        processor.then(wire.money("3", "300", text, transactionid="1001", type="void"))
        result = gateway.void(VOID)
        assert (result.state, result.failure.code) == (
            RefundState.FAILED,
            FailureCode.NOT_VOIDABLE,
        )

    @pytest.mark.parametrize(
        "answer", [approved(transactionid="1009", type="void"), approved(transactionid="1001")]
    )
    def test_an_answer_about_something_else_is_unknown(self, processor, gateway, answer):
        processor.then(answer)
        with pytest.raises(OutcomeUnknown):
            gateway.void(VOID)

    def test_a_part_is_never_voided(self, processor, gateway):
        with pytest.raises(NotSent):
            gateway.void(replace(VOID, amount=Money(1, "USD")))
        assert processor.received == []


class TestContract(GatewayContract):
    gateway_class = NmiGateway
    account = "nmi-main"
    unknown_payment_id = "999999999"
    wrong_credentials = {"security_key": "another-key"}
    exact_amounts = (("nmi-main", Money(1999, "USD")), ("nmi-main", Money(1, "GBP")))
    many = 510
    turned_away = {"401": "", "403": "", "429": ""}
