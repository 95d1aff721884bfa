"""What the gateway reads: look-ups, payments, refunds, and whose account it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateways.base import FailureCode, Operation, RefundState
from gateways.errors import Misconfigured, NotSent, OutcomeUnknown
from gateways.hardened_xml import text_of
from gateways.money import Money

from . import authorizenet_wire as wire
from .authorizenet_wire import REFUND, VOID, open_gateway, sent

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = datetime(2026, 3, 8, tzinfo=UTC)
OURS = {"kind": "refundTransaction", "original": "1001", "settle": "12.30"}


@pytest.fixture
def gateway(processor):
    return open_gateway(processor)


class TestFindRefund:
    def test_finds_ours_among_unsettled_by_invoice_and_confirms_it(self, processor, gateway):
        processor.then(
            wire.unsettled(
                wire.row("2001", "refundPendingSettlement", invoice="OTHER", amount="12.30"),
                wire.row("2002", "refundPendingSettlement", invoice=REFUND.reference),
                wire.row("2003", "refundPendingSettlement", invoice=""),
                wire.row("2004", "refundPendingSettlement", invoice="", number="XXXX9999"),
                wire.row("2005", "capturedPendingSettlement", invoice=""),
            )
        )
        processor.then(wire.batches())
        processor.then(
            wire.details("2002", "refundPendingSettlement", **OURS, reference=REFUND.reference)
        )
        processor.then(wire.details("2003", "refundPendingSettlement", **OURS, reference="OTHER"))
        lookup = gateway.find_refund(replace(REFUND, first_sent_at=datetime.now(UTC)))
        (found,) = lookup.matches
        assert lookup.complete
        assert (found.external_id, found.payment_id) == ("2002", "1001")
        assert found.amount == REFUND.amount
        assert found.state is RefundState.SUCCEEDED
        assert found.reference == REFUND.reference
        assert len(lookup.exchanges) == len(processor.received) == 4

    def test_reads_the_batches_that_settled_since(self, processor, gateway):
        sent_at = datetime.now(UTC) - timedelta(hours=30)
        processor.then(wire.unsettled())
        processor.then(wire.batches(("7", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")))
        processor.then(wire.batch(wire.row("2002", "voided", invoice=REFUND.reference)))
        processor.then(wire.details("2002", "voided", **OURS, reference=REFUND.reference))
        (found,) = gateway.find_refund(replace(REFUND, first_sent_at=sent_at)).matches
        assert (found.state, found.failure.code) == (RefundState.FAILED, FailureCode.RETURNED)
        since = datetime.fromisoformat(text_of(sent(processor, 1), "firstSettlementDate"))
        assert since <= sent_at - timedelta(days=1)

    def test_an_order_that_was_never_sent_is_searched_for_a_month(self, processor, gateway):
        processor.then(wire.unsettled())
        processor.then(wire.batches())
        processor.then(wire.batches())
        lookup = gateway.find_refund(REFUND)
        assert (lookup.matches, lookup.complete) == ((), True)
        since = datetime.fromisoformat(text_of(sent(processor, 1), "firstSettlementDate"))
        assert datetime.now(UTC) - since > timedelta(days=31)

    def test_another_amount_under_our_reference_is_shown_as_it_is(self, processor, gateway):
        processor.then(wire.unsettled(wire.row("2002", invoice=REFUND.reference)))
        processor.then(wire.batches())
        other = {**OURS, "settle": "99.00"}
        processor.then(wire.details("2002", **other, reference=REFUND.reference))
        order = replace(REFUND, first_sent_at=datetime.now(UTC))
        (found,) = gateway.find_refund(order).matches
        assert found.amount == Money(9900, "USD")

    def test_a_known_refund_is_read_directly(self, processor, gateway):
        processor.then(wire.details("2002", "FDSPendingReview", **OURS))
        (found,) = gateway.find_refund(replace(REFUND, refund_id="2002")).matches
        assert found.state is RefundState.PENDING

    @pytest.mark.parametrize("answer", [wire.error("E00040"), wire.details("2002")])
    def test_a_known_refund_that_is_none_is_not_found(self, processor, gateway, answer):
        processor.then(answer)
        assert gateway.find_refund(replace(REFUND, refund_id="2002")).matches == ()

    def test_a_record_that_cannot_be_read_is_no_answer(self, processor, gateway):
        processor.then(wire.details("2002", **{**OURS, "settle": "a lot"}))
        with pytest.raises(OutcomeUnknown, match="a lot"):
            gateway.find_refund(replace(REFUND, refund_id="2002"))

    @pytest.mark.parametrize(
        ("payment", "found", "complete"),
        [
            (wire.details("1001", "voided", settle="0.00"), 1, True),
            (wire.details("1001", "capturedPendingSettlement"), 0, True),
            (wire.error("E00040"), 0, False),
        ],
    )
    def test_a_void_is_the_status_of_the_payment(
        self, processor, gateway, payment, found, complete
    ):
        processor.then(payment)
        lookup = gateway.find_refund(VOID)
        assert (len(lookup.matches), lookup.complete) == (found, complete)
        for void in lookup.matches:
            assert (void.operation, void.amount) == (Operation.VOID, VOID.amount)
            assert (void.external_id, void.payment_id) == ("1001", "1001")
            assert void.reference == VOID.reference

    def test_a_list_that_fails_is_no_answer(self, processor, gateway):
        processor.then(wire.unsettled())
        processor.then(b"", 500)
        with pytest.raises(OutcomeUnknown) as caught:
            gateway.find_refund(REFUND)
        assert len(caught.value.exchanges) == 2


class TestReading:
    def test_get_payment_has_all_details(self, processor, gateway):
        processor.then(wire.details("1001", extra=wire.BILL_TO))
        payment = gateway.get_payment("1001")
        assert payment.has_details
        assert payment.payer.email == "jose@example.com"
        assert payment.description == "Two hats"
        assert text_of(sent(processor), "transId") == "1001"

    @pytest.mark.parametrize("payment_id", ["", "ch_123", "12,13", "１２"])
    def test_an_id_that_cannot_be_one_is_not_asked_for(self, processor, gateway, payment_id):
        assert gateway.get_payment(payment_id) is None
        assert processor.received == []

    def test_a_refund_is_no_payment(self, processor, gateway):
        processor.then(wire.details("2002", "refundSettledSuccessfully", **OURS))
        assert gateway.get_payment("2002") is None

    def test_a_payment_that_cannot_be_read_is_no_answer(self, processor, gateway):
        processor.then(wire.details("1001", "somethingNew"))
        with pytest.raises(OutcomeUnknown, match="somethingNew"):
            gateway.get_payment("1001")

    def test_refunds_are_listed_with_their_details(self, processor, gateway):
        processor.then(
            wire.unsettled(
                wire.row("1001", "capturedPendingSettlement"),
                wire.row("2002", "refundPendingSettlement"),
                wire.row("1003", "voided"),
                wire.row("2004", "refundPendingSettlement"),
            )
        )
        processor.then(
            wire.details("2002", "refundPendingSettlement", **OURS, reference=REFUND.reference)
        )
        processor.then(wire.details("1003", "voided"))
        processor.then(wire.details("2004", "refundPendingSettlement", **{**OURS, "settle": ""}))
        processor.then(wire.batches())
        first, last = gateway.list_refunds(SINCE, UNTIL)
        assert [refund.external_id for refund in first.records] == ["2002"]
        assert first.records[0].reference == REFUND.reference
        assert [bad.external_id for bad in first.rejected] == ["2004"]
        assert (last.records, last.cursor) == ((), "")

    def test_a_listed_refund_without_details_is_rejected(self, processor, gateway):
        processor.then(wire.unsettled(wire.row("2002", "refundPendingSettlement")))
        processor.then(wire.error("E00040"))
        processor.then(wire.batches())
        first, _ = gateway.list_refunds(SINCE, UNTIL)
        assert [bad.external_id for bad in first.rejected] == ["2002"]


class TestAccount:
    @pytest.mark.parametrize(("test_mode", "said"), [("true", True), ("false", False)])
    def test_credentials_that_work_say_whose_they_are(self, processor, gateway, test_mode, said):
        processor.then(wire.merchant("USD", test_mode=test_mode))
        sentence = gateway.check_credentials()
        assert "Hats Ltd" in sentence
        assert "424242" in sentence
        assert ("test mode" in sentence) is said

    @pytest.mark.parametrize("code", ["E00005", "E00006", "E00007", "E00008", "E00010"])
    def test_credentials_that_do_not_work_say_so(self, processor, gateway, code):
        processor.then(wire.error(code, "User authentication failed."))
        with pytest.raises(NotSent, match="User authentication failed") as caught:
            gateway.check_credentials()
        assert caught.value.reason == "credentials"

    def test_the_currency_is_asked_for_once(self, processor):
        gateway = open_gateway(processor, currency="")
        processor.then(wire.details("1001"))
        processor.then(wire.merchant("CAD"))
        processor.then(wire.details("1002"))
        assert gateway.get_payment("1001").amount == Money(5000, "CAD")
        assert gateway.get_payment("1002").amount == Money(5000, "CAD")

    @pytest.mark.parametrize("currencies", [(), ("CAD", "USD")])
    def test_a_currency_that_cannot_be_known_must_be_set(self, processor, currencies):
        gateway = open_gateway(processor, currency="")
        processor.then(wire.unsettled(wire.row("1001")))
        processor.then(wire.merchant(*currencies))
        with pytest.raises(Misconfigured, match="Set the currency of account hats"):
            next(gateway.list_payments(SINCE, UNTIL))
