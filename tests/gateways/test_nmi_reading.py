"""What the gateway reads: lists and their pages, look-ups, and whose account it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateways.base import Operation, PaymentStatus, RefundState
from gateways.errors import NotSent, OutcomeUnknown

from . import nmi_wire as wire
from .nmi_wire import REFUND, VOID, open_gateway, sent

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = datetime(2026, 3, 8, tzinfo=UTC)
SENT_AT = datetime(2026, 3, 1, 10, 2, tzinfo=UTC)
SENT = replace(REFUND, first_sent_at=SENT_AT)


@pytest.fixture
def gateway(processor):
    return open_gateway(processor)


def ids(page):
    return [record.external_id for record in page.records]


class TestLists:
    def test_pages_end_with_one_that_has_no_news(self, processor, gateway):
        processor.then(wire.found(wire.transaction("1001"), wire.transaction("1002")))
        processor.then(wire.found(wire.transaction("1002"), wire.transaction("1003")))
        processor.then(wire.found(wire.transaction("1003")))
        pages = list(gateway.list_payments(SINCE, UNTIL))
        assert [ids(page) for page in pages] == [["1001", "1002"], ["1003"], []]
        assert [page.cursor for page in pages] == ["1", "2", ""]
        assert [sent(processor, n)["page_number"] for n in range(3)] == ["0", "1", "2"]
        assert sent(processor)["start_date"] == "20260301000000"
        assert sent(processor)["end_date"] == "20260308000000"
        assert sent(processor)["result_order"] == "reverse"
        assert processor.received[0].path == "/api/query.php"

    def test_a_window_that_reaches_now_has_no_end(self, processor, gateway):
        processor.then(wire.found())
        processor.then(wire.found())
        list(gateway.list_payments(SINCE, datetime.now(UTC)))
        assert "end_date" not in sent(processor)

    def test_nothing_is_two_empty_pages(self, processor, gateway):
        processor.then(wire.found())
        processor.then(wire.found())
        assert [ids(page) for page in gateway.list_payments(SINCE, UNTIL)] == [[], []]

    def test_pages_that_count_from_one_and_begin_twice(self, processor, gateway):
        for transaction_id in ("1001", "1001", "1002"):
            processor.then(wire.found(wire.transaction(transaction_id)))
        processor.then(wire.found())
        pages = gateway.list_payments(SINCE, UNTIL)
        assert [ids(page) for page in pages] == [["1001"], [], ["1002"], []]

    def test_pages_that_count_from_one_and_begin_empty(self, processor, gateway):
        processor.then(wire.found())
        processor.then(wire.found(wire.transaction("1001")))
        processor.then(wire.found())
        assert [ids(page) for page in gateway.list_payments(SINCE, UNTIL)] == [[], ["1001"], []]

    def test_a_list_that_ignores_pages_ends(self, processor, gateway):
        for _ in range(3):
            processor.then(wire.found(wire.transaction("1001")))
        pages = list(gateway.list_payments(SINCE, UNTIL))
        assert [ids(page) for page in pages] == [["1001"], [], []]
        assert pages[-1].cursor == ""

    def test_a_cursor_resumes_after_its_page(self, processor, gateway):
        processor.then(wire.found(wire.transaction("1003")))
        processor.then(wire.found())
        pages = gateway.list_payments(SINCE, UNTIL, "2")
        assert [ids(page) for page in pages] == [["1003"], []]
        assert sent(processor, 0)["page_number"] == "2"

    def test_refunds_are_no_payments_and_a_bad_one_spoils_nothing(self, processor, gateway):
        bad = wire.transaction("1002", "complete", wire.action(amount="lots"))
        processor.then(wire.found(wire.refund(), bad, wire.transaction("1003")))
        page = next(gateway.list_payments(SINCE, UNTIL))
        assert ids(page) == ["1003"]
        assert [rejected.external_id for rejected in page.rejected] == ["1002"]

    def test_refunds_are_listed_in_both_shapes(self, processor, gateway):
        mixed = wire.transaction("1001", "complete", wire.action(), wire.action("refund", "5.00"))
        processor.then(wire.found(wire.refund(), mixed))
        processor.then(wire.found())
        page, _ = gateway.list_refunds(SINCE, UNTIL)
        assert [(refund.payment_id, refund.amount.minor) for refund in page.records] == [
            ("", 1230),
            ("1001", 500),
        ]
        assert page.records[0].reference == REFUND.reference
        assert sent(processor)["action_type"] == "refund"

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"<html><body>Welcome</body></html>",
            b"<nm_response>",
            b"<something/>",
            wire.query_error("Something is wrong"),
        ],
    )
    def test_only_a_good_answer_says_that_there_is_nothing(self, processor, gateway, answer):
        processor.then(answer)
        with pytest.raises(OutcomeUnknown) as caught:
            next(gateway.list_payments(SINCE, UNTIL))
        assert len(caught.value.exchanges) == 1


class TestGetPayment:
    def test_reads_one_by_its_id(self, processor, gateway):
        processor.then(wire.found(wire.transaction("1001", "pendingsettlement")))
        assert gateway.get_payment("1001").status is PaymentStatus.CAPTURED
        assert sent(processor)["transaction_id"] == "1001"

    @pytest.mark.parametrize(
        "answer",
        [wire.found(), wire.found(wire.transaction("1002")), wire.found(wire.refund("1001"))],
    )
    def test_anything_else_is_not_it(self, processor, gateway, answer):
        processor.then(answer)
        assert gateway.get_payment("1001") is None

    @pytest.mark.parametrize("payment_id", ["", "1001,1002", "1001-refund-1", "１２"])
    def test_an_id_that_cannot_be_one_is_not_asked_for(self, processor, gateway, payment_id):
        assert gateway.get_payment(payment_id) is None
        assert processor.received == []

    def test_one_that_cannot_be_read_is_no_answer(self, processor, gateway):
        processor.then(wire.found(wire.transaction("1001", "unknown")))
        with pytest.raises(OutcomeUnknown, match="unknown"):
            gateway.get_payment("1001")


class TestFindRefund:
    def test_by_our_order_id(self, processor, gateway):
        processor.then(wire.found(wire.refund(), wire.refund("2003", order_id="OTHER")))
        processor.then(wire.found())
        lookup = gateway.find_refund(SENT)
        (found,) = lookup.matches
        assert lookup.complete
        assert (found.external_id, found.payment_id) == ("2002", "1001")
        assert (found.amount, found.state) == (REFUND.amount, RefundState.SUCCEEDED)
        assert found.reference == REFUND.reference
        assert sent(processor, 0)["order_id"] == REFUND.reference
        assert len(lookup.exchanges) == 2

    def test_two_refunds_under_our_order_id_are_both_shown(self, processor, gateway):
        processor.then(wire.found(wire.refund("2002"), wire.refund("2003")))
        processor.then(wire.found())
        assert len(gateway.find_refund(SENT).matches) == 2

    def test_a_refused_one_is_shown_as_refused(self, processor, gateway):
        processor.then(wire.found(wire.refund(success="0", condition="failed")))
        processor.then(wire.found())
        (found,) = gateway.find_refund(SENT).matches
        assert found.state is RefundState.FAILED

    def test_likely_by_the_actions_of_the_payment(self, processor, gateway):
        actions = [
            wire.action(),
            wire.action("refund", "12.30", date="20260228100000"),
            wire.action("refund", "9.99"),
            wire.action("refund", "12.30", success="0"),
            wire.action("refund", "12.30"),
        ]
        script_no_reference(processor)
        paid = wire.transaction("1001", "complete", *actions)
        other = wire.transaction("1002", "complete", wire.action(), wire.action("refund", "12.30"))
        processor.then(wire.found(paid))
        processor.then(wire.found(paid, other))  # another payment's is none of ours
        processor.then(wire.found())
        lookup = gateway.find_refund(SENT)
        (likely,) = lookup.likely
        assert lookup.matches == ()
        assert (likely.external_id, likely.payment_id) == ("1001-refund-4", "1001")
        assert likely.reference == ""

    def test_likely_by_card_and_amount(self, processor, gateway):
        script_no_reference(processor)
        processor.then(wire.found(wire.transaction("1001")))
        processor.then(
            wire.found(
                wire.refund("2001", order_id="OTHER"),
                wire.refund("2002", order_id="ORD-1"),
                wire.refund("2003", order_id=""),
                wire.refund("2004", "-9.99", order_id=""),
                wire.refund("2005", order_id="", cc_number="4xxxxxxxxxxx4242"),
                wire.refund("2006", order_id="", date="20260228100000"),
            )
        )
        processor.then(wire.found())
        lookup = gateway.find_refund(SENT)
        assert lookup.matches == ()
        assert [refund.external_id for refund in lookup.likely] == ["2002", "2003"]
        assert {refund.payment_id for refund in lookup.likely} == {"1001"}
        assert {refund.reference for refund in lookup.likely} == {""}
        assert sent(processor)["cc_number"] == "1111"
        assert sent(processor)["start_date"] == f"{SENT_AT - timedelta(minutes=5):%Y%m%d%H%M%S}"

    def test_a_bank_refund_is_not_searched_by_card(self, processor, gateway):
        bank = {"transaction_type": "ck", "cc_number": "", "check_account": "xxxxx6789"}
        script_no_reference(processor)
        processor.then(wire.found(wire.transaction("1001", **bank)))
        processor.then(wire.found(wire.refund(order_id="", **bank)))
        processor.then(wire.found())
        lookup = gateway.find_refund(replace(SENT, method_type="bank"))
        assert len(lookup.likely) == 1
        assert "cc_number" not in sent(processor)

    @pytest.mark.parametrize("is_shown", [True, False])
    def test_nothing_found_is_a_complete_answer_if_the_payment_is_shown(
        self, processor, gateway, is_shown
    ):
        script_no_reference(processor)
        if is_shown:
            processor.then(wire.found(wire.transaction("1001")))
            processor.then(wire.found())
        processor.then(wire.found())
        lookup = gateway.find_refund(SENT)
        assert (lookup.matches, lookup.likely, lookup.complete) == ((), (), is_shown)

    def test_what_was_never_sent_is_searched_by_reference_only(self, processor, gateway):
        script_no_reference(processor)
        assert gateway.find_refund(REFUND).matches == ()
        assert len(processor.received) == 2

    def test_a_known_refund_is_read_directly(self, processor, gateway):
        processor.then(wire.found(wire.refund(condition="in_progress")))
        (found,) = gateway.find_refund(replace(SENT, refund_id="2002")).matches
        assert (found.state, found.payment_id) == (RefundState.PENDING, "")  # NMI does not say
        assert sent(processor)["transaction_id"] == "2002"

    def test_a_known_refund_without_a_transaction_is_searched_for(self, processor, gateway):
        processor.then(wire.found())
        processor.then(wire.found(wire.refund()))
        processor.then(wire.found())
        (found,) = gateway.find_refund(replace(SENT, refund_id="2009")).matches
        assert found.external_id == "2002"

    @pytest.mark.parametrize(
        ("answer", "found", "complete"),
        [
            (wire.transaction("1001", "canceled"), 1, True),
            (
                wire.transaction("1001", "complete", wire.action(), wire.action("void")),
                1,
                True,
            ),
            (
                wire.transaction(
                    "1001", "complete", wire.action(), wire.action("void", success=None)
                ),
                0,
                True,
            ),
            (wire.transaction("1001", "pendingsettlement"), 0, True),
            ("", 0, False),
        ],
    )
    def test_a_void_is_the_condition_of_the_payment(
        self, processor, gateway, answer, found, complete
    ):
        processor.then(wire.found(answer))
        lookup = gateway.find_refund(VOID)
        assert (len(lookup.matches), lookup.complete) == (found, complete)
        for void in lookup.matches:
            assert (void.operation, void.amount) == (Operation.VOID, VOID.amount)
            assert (void.external_id, void.last4) == ("1001", "1111")
            assert void.reference == VOID.reference

    def test_a_query_that_fails_is_no_answer(self, processor, gateway):
        processor.then(b"", 500)
        with pytest.raises(OutcomeUnknown):
            gateway.find_refund(SENT)


class TestAccount:
    @pytest.mark.parametrize(("test_mode", "said"), [("true", True), ("false", False)])
    def test_a_key_that_works_says_whose_it_is(self, processor, gateway, test_mode, said):
        processor.then(
            "<nm_response><merchant><company>Hats Ltd</company>"
            f"<test_mode_enabled>{test_mode}</test_mode_enabled></merchant></nm_response>"
        )
        sentence = gateway.check_credentials()
        assert "Hats Ltd" in sentence
        assert ("test mode" in sentence) is said
        assert sent(processor)["report_type"] == "profile"

    @pytest.mark.parametrize(
        "text", ["Invalid Security Key", "Invalid user/password", "Authentication Failed"]
    )
    def test_a_key_that_does_not_work_says_so(self, processor, gateway, text):
        processor.then(wire.query_error(text))
        with pytest.raises(NotSent, match=text) as caught:
            gateway.check_credentials()
        assert caught.value.reason == "credentials"


def script_no_reference(processor):
    """Nothing under our order id: two empty pages."""
    processor.then(wire.found())
    processor.then(wire.found())
