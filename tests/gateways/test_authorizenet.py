"""Money calls against a scripted processor: what is sent, and what each answer proves."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateways.authorizenet import AuthorizeNetGateway
from gateways.base import Account, FailureCode, RefundState
from gateways.errors import Misconfigured, NotSent, OutcomeUnknown
from gateways.hardened_xml import text_of
from gateways.money import Money
from gateways.transport import Transport

from . import authorizenet_wire as wire
from .authorizenet_wire import CREDENTIALS, REFUND, VOID, open_gateway, sent
from .contract import GatewayContract


@pytest.fixture
def gateway(processor):
    return open_gateway(processor)


def approved(code="1", **changes):
    return wire.transaction_response("1", code, **{"trans_id": "2002", **changes})


class TestRefund:
    def test_sends_what_the_processor_demands(self, processor, gateway):
        processor.then(approved(ref_id=REFUND.reference))
        result = gateway.refund(REFUND)
        assert (result.state, result.refund_id) == (RefundState.SUCCEEDED, "2002")
        assert result.failure is None
        request = sent(processor)
        transaction = request.find("transactionRequest")
        assert text_of(request, "refId") == REFUND.reference
        assert text_of(request, "merchantAuthentication/name") == "login-of-hats"
        assert text_of(transaction, "transactionType") == "refundTransaction"
        assert text_of(transaction, "amount") == "12.3"
        assert text_of(transaction, "currencyCode") == "USD"
        assert text_of(transaction, "payment/creditCard/cardNumber") == "XXXX1111"
        assert text_of(transaction, "payment/creditCard/expirationDate") == "XXXX"
        assert text_of(transaction, "refTransId") == "1001"
        assert text_of(transaction, "order/invoiceNumber") == REFUND.reference
        assert text_of(transaction, "transactionSettings/setting/settingName") == "duplicateWindow"
        assert text_of(transaction, "transactionSettings/setting/settingValue") == "28800"
        assert processor.received[0].path == "/xml/v1/request.api"
        assert processor.received[0].headers["content-type"] == "application/xml"
        assert processor.received[0].headers["connection"] == "close"

    def test_the_same_order_is_the_same_bytes(self, processor, gateway):
        processor.then(approved())
        processor.then(approved())
        gateway.refund(REFUND)
        gateway.refund(REFUND)
        assert processor.received[0].body == processor.received[1].body

    def test_the_evidence_has_no_secret(self, processor, gateway):
        processor.then(approved())
        (exchange,) = gateway.refund(REFUND).exchanges
        assert "refundTransaction" in exchange.request
        assert "2002" in exchange.response
        for secret in CREDENTIALS.values():
            assert secret not in repr(exchange)

    def test_a_bank_refund_names_the_masked_account(self, processor, gateway):
        processor.then(wire.details("1001", payment=wire.BANK))
        processor.then(approved())
        result = gateway.refund(replace(REFUND, method_type="bank", last4="6789"))
        assert result.state is RefundState.SUCCEEDED
        bank = sent(processor).find("transactionRequest/payment/bankAccount")
        assert [text_of(each, ".") for each in bank] == ["XXXX0025", "XXXX6789", "J. García"]
        assert len(result.exchanges) == 2

    def test_a_card_without_last_four_is_looked_up(self, processor, gateway):
        processor.then(wire.details("1001"))
        processor.then(approved())
        gateway.refund(replace(REFUND, last4=""))
        path = "transactionRequest/payment/creditCard/cardNumber"
        assert text_of(sent(processor), path) == "XXXX1111"

    @pytest.mark.parametrize(
        "answer",
        [wire.error("E00040"), wire.details("1001", payment="<creditCard/>")],
    )
    def test_nothing_is_sent_where_the_source_is_not_known(self, processor, gateway, answer):
        processor.then(answer)
        with pytest.raises(NotSent) as caught:
            gateway.refund(replace(REFUND, last4=""))
        assert caught.value.reason == "refused_locally"
        assert len(caught.value.exchanges) == len(processor.received) == 1

    def test_a_failed_look_at_the_payment_is_not_a_sent_refund(self, processor, gateway):
        processor.then(b"", 500)
        with pytest.raises(NotSent) as caught:
            gateway.refund(replace(REFUND, method_type="bank"))
        assert caught.value.reason == "unreachable"
        assert len(caught.value.exchanges) == 1

    def test_held_for_review_is_pending(self, processor, gateway):
        processor.then(wire.transaction_response("4", "253", trans_id="2002"))
        result = gateway.refund(REFUND)
        assert (result.state, result.refund_id) == (RefundState.PENDING, "2002")

    @pytest.mark.parametrize(
        ("code", "failure"),
        [
            ("5", FailureCode.INVALID_AMOUNT),
            ("6", FailureCode.CARD_NOT_VALID),
            ("16", FailureCode.PAYMENT_NOT_FOUND),
            ("35", FailureCode.ACCOUNT_PROBLEM),
            ("39", FailureCode.CURRENCY_NOT_ACCEPTED),
            ("49", FailureCode.LIMIT_REACHED),
            ("50", FailureCode.NOT_SETTLED),
            ("51", FailureCode.EXCEEDS_REFUNDABLE),
            ("55", FailureCode.EXCEEDS_REFUNDABLE),
            ("53", FailureCode.NOT_REFUNDABLE),
            ("128", FailureCode.DECLINED_BY_BANK),
            ("250", FailureCode.BLOCKED_BY_RULES),
            ("310", FailureCode.NOT_REFUNDABLE),
        ],
    )
    def test_a_known_refusal_is_a_result(self, processor, gateway, code, failure):
        processor.then(wire.transaction_response("3", code))
        result = gateway.refund(REFUND)
        assert result.state is RefundState.FAILED
        assert result.failure.code is failure
        assert (result.failure.processor_code, result.failure.message) == (code, "The reason.")
        assert result.refund_id == ""

    def test_a_decline_is_one_whatever_its_code(self, processor, gateway):
        processor.then(wire.transaction_response("2", "9999"))
        assert gateway.refund(REFUND).failure.code is FailureCode.OTHER

    @pytest.mark.parametrize(
        ("code", "failure"),
        [
            ("E00003", FailureCode.BAD_REQUEST),
            ("E00009", FailureCode.ACCOUNT_PROBLEM),
            ("E00039", FailureCode.OTHER),
            ("E00040", FailureCode.PAYMENT_NOT_FOUND),
        ],
    )
    def test_a_refusal_of_the_request_is_a_result(self, processor, gateway, code, failure):
        processor.then(wire.error(code))
        result = gateway.refund(REFUND)
        assert (result.state, result.failure.code) == (RefundState.FAILED, failure)

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (wire.error("E00007"), "credentials"),
            (wire.error("E00011"), "credentials"),
            (wire.error("E00053"), "rate_limited"),
            (wire.error("E00104"), "unreachable"),
            (wire.transaction_response("3", "13"), "credentials"),
            (wire.transaction_response("3", "103"), "credentials"),
        ],
    )
    def test_turned_away_at_the_door_is_not_sent(self, processor, gateway, answer, reason):
        processor.then(answer)
        with pytest.raises(NotSent) as caught:
            gateway.refund(REFUND)
        assert caught.value.reason == reason
        assert len(caught.value.exchanges) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            wire.transaction_response("3", "11"),
            wire.transaction_response("3", "19"),
            wire.transaction_response("2", "318"),
            wire.transaction_response("3", "36"),
            wire.transaction_response("3", "9999"),
            wire.transaction_response("5", "1"),
            wire.transaction_response("", "1"),
            wire.error("E00001"),
            wire.error("E00027"),
            wire.error("E09999"),
            wire.answer("createTransactionResponse"),
            wire.answer("createTransactionResponse", "<transactionResponse/>"),
            approved(trans_id="0"),
            approved(trans_id=""),
            approved(trans_id="1001"),
            approved(original="1009"),
            approved(original=""),
            approved(ref_id="SOMEONEELSE"),
            wire.transaction_response("4", "253"),
            wire.answer("getTransactionDetailsResponse"),
            b"",
            b"<html>maintenance</html>",
            approved()[:-40],
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        ],
    )
    def test_what_proves_nothing_is_unknown(self, processor, gateway, answer):
        processor.then(answer)
        with pytest.raises(OutcomeUnknown) as caught:
            gateway.refund(REFUND)
        assert len(caught.value.exchanges) == 1

    @pytest.mark.parametrize("status", [201, 302, 401, 403, 429, 500, 502])
    def test_any_status_but_200_is_unknown(self, processor, gateway, status):
        processor.then(approved(), status)
        with pytest.raises(OutcomeUnknown, match=str(status)):
            gateway.refund(REFUND)

    def test_a_lost_answer_is_unknown_and_nothing_is_sent_twice(self, processor, gateway):
        processor.then(None)
        with pytest.raises(OutcomeUnknown):
            gateway.refund(REFUND)
        assert len(processor.received) == 1

    def test_of_several_reasons_the_one_that_leaves_it_open_counts(self, processor, gateway):
        other = b"<error><errorCode>11</errorCode><errorText>Duplicate.</errorText></error>"
        body = wire.transaction_response("3", "55").replace(b"</errors>", other + b"</errors>")
        processor.then(body)
        with pytest.raises(OutcomeUnknown, match="11 Duplicate"):
            gateway.refund(REFUND)

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": Money(0, "USD")},
            {"amount": Money(-1, "USD")},
            {"amount": Money(1, "EUR")},
            {"reference": "X" * 21},
        ],
    )
    def test_what_must_not_be_sent_is_not(self, processor, gateway, changes):
        with pytest.raises(NotSent) as caught:
            gateway.refund(replace(REFUND, **changes))
        assert caught.value.reason == "refused_locally"
        assert processor.received == []

    def test_a_key_that_breaks_the_schema_is_not_quoted(self, processor):
        account = Account(
            "hats", "test", processor.url, {**CREDENTIALS, "transaction_key": "secret" * 4}, "USD"
        )
        with pytest.raises(Misconfigured, match="transaction_key at most 16") as caught:
            AuthorizeNetGateway(account, Transport()).refund(REFUND)
        assert "secretsecret" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_two_decimals_are_all_it_takes(self, gateway):
        assert [gateway.smallest_step(c) for c in ("USD", "JPY", "KWD")] == [1, 1, 10]


class TestCriteriaNotMet:
    """Code 54 has many reasons; the payment tells which."""

    @pytest.mark.parametrize(
        ("payment", "failure"),
        [
            (wire.details("1001", "capturedPendingSettlement"), FailureCode.NOT_SETTLED),
            (wire.details("1001", "authorizedPendingCapture"), FailureCode.NOT_SETTLED),
            (wire.details("1001", "chargeback"), FailureCode.DISPUTED),
            (wire.details("1001", batch_time="2020-01-01T00:00:00Z"), FailureCode.TOO_OLD),
            (
                wire.details("1001", batch_time=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"),
                FailureCode.NOT_REFUNDABLE,
            ),
            (wire.error("E00040"), FailureCode.NOT_REFUNDABLE),
            (wire.error("E00001"), FailureCode.NOT_REFUNDABLE),
        ],
    )
    def test_the_reason_is_looked_up(self, processor, gateway, payment, failure):
        processor.then(wire.transaction_response("3", "54"))
        processor.then(payment)
        result = gateway.refund(REFUND)
        assert (result.state, result.failure.code) == (RefundState.FAILED, failure)
        assert result.failure.processor_code == "54"


class TestVoid:
    def test_sends_no_amount(self, processor, gateway):
        processor.then(approved(trans_id="1001", ref_id=VOID.reference))
        result = gateway.void(VOID)
        assert (result.state, result.refund_id) == (RefundState.SUCCEEDED, "1001")
        fields = [element.tag for element in sent(processor).find("transactionRequest")]
        assert fields == ["transactionType", "refTransId"]

    @pytest.mark.parametrize("verdict", ["1", "3"])
    def test_already_voided_is_done(self, processor, gateway, verdict):
        processor.then(wire.transaction_response(verdict, "310"))
        result = gateway.void(VOID)
        assert (result.state, result.refund_id) == (RefundState.SUCCEEDED, "1001")

    @pytest.mark.parametrize("verdict", ["1", "3"])
    def test_already_captured_is_not_voided(self, processor, gateway, verdict):
        processor.then(wire.transaction_response(verdict, "311"))
        result = gateway.void(VOID)
        assert (result.state, result.failure.code) == (
            RefundState.FAILED,
            FailureCode.NOT_VOIDABLE,
        )

    @pytest.mark.parametrize(
        "answer", [approved(trans_id="1009"), approved(trans_id="1001", original="1009")]
    )
    def test_an_answer_about_another_transaction_is_unknown(self, processor, gateway, answer):
        processor.then(answer)
        with pytest.raises(OutcomeUnknown):
            gateway.void(VOID)

    def test_a_part_is_never_voided(self, processor, gateway):
        with pytest.raises(NotSent):
            gateway.void(replace(VOID, amount=Money(1, "USD")))
        assert processor.received == []


class TestContract(GatewayContract):
    gateway_class = AuthorizeNetGateway
    account = "authorizenet-us"
    unknown_payment_id = "999999999"
    wrong_credentials = {"transaction_key": "anotherKey123456"}
    exact_amounts = (("authorizenet-us", Money(1999, "USD")),)
    turned_away = {"401": "", "403": "", "429": ""}  # its verdicts come with status 200 only
