import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateways.base import (
    Account,
    FailureCode,
    Operation,
    PaymentStatus,
    RefundOrder,
    RefundState,
)
from gateways.errors import Misconfigured, NotSent, OutcomeUnknown
from gateways.money import Money
from gateways.stripe import StripeGateway
from gateways.stripe_records import REFERENCE_KEY
from gateways.transport import Transport

from .contract import KeyedGatewayContract

KEY = "sk_test_key_of_hats"
SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = datetime(2026, 3, 2, tzinfo=UTC)
ORDER = RefundOrder(
    reference="REF0000001",
    payment_id="ch_1",
    amount=Money(1250, "EUR"),
    payment_amount=Money(5000, "EUR"),
    related_ids=("pi_1",),
)
VOID = replace(ORDER, amount=Money(5000, "EUR"), operation=Operation.VOID)
SENT = replace(ORDER, first_sent_at=SINCE)


class TestContract(KeyedGatewayContract):
    gateway_class = StripeGateway
    account = "stripe-main"
    unknown_payment_id = "ch_unknown"
    wrong_credentials = {"api_key": "sk_test_wrong"}
    unreadable = {"order_reference": 5}
    exact_amounts = (
        ("stripe-main", Money(1999, "USD")),
        ("stripe-main", Money(12340, "KWD")),
        ("stripe-japan", Money(1500, "JPY")),
    )
    voidable_status = "authorized"


def open_gateway(url, *, key=KEY, mode="test"):
    account = Account("hats", mode, url, {"api_key": key})
    return StripeGateway(account, Transport(secrets=(key,), total_seconds=10))


@pytest.fixture
def gateway(processor):
    return open_gateway(processor.url)


def charge(**changes):
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 5000,
        "amount_captured": 5000,
        "billing_details": {"name": "Ann Bee", "email": None},
        "captured": True,
        "created": int(SINCE.timestamp()),
        "currency": "eur",
        "description": "Two hats",
        "disputed": False,
        "livemode": False,
        "metadata": {"order_id": "ORD-1"},
        "payment_intent": "pi_1",
        "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": "4242"}},
        "receipt_email": "ann@example.com",
        "refunded": False,
        "status": "succeeded",
        **changes,
    }


def refund(**changes):
    return {
        "id": "re_1",
        "object": "refund",
        "amount": 1250,
        "balance_transaction": "txn_1",
        "charge": "ch_1",
        "created": int(SINCE.timestamp()),
        "currency": "eur",
        "metadata": {REFERENCE_KEY: "REF0000001"},
        "status": "succeeded",
        **changes,
    }


def intent(**changes):
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 5000,
        "currency": "eur",
        "status": "canceled",
        **changes,
    }


def listed(*rows, has_more=False):
    return {"object": "list", "data": list(rows), "has_more": has_more, "url": "/v1/x"}


def error(**fields):
    return {"error": {"type": "invalid_request_error", "message": "It says no.", **fields}}


def say(processor, data, status=200, **headers):
    processor.then(json.dumps(data), status, **headers)


def form_of(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


class TestAccount:
    @pytest.mark.parametrize(
        ("key", "mode"),
        [
            ("sk_live_1", "test"),
            ("sk_test_1", "live"),
            ("rk_live_1", "test"),
            ("pk_test_1", "test"),
            ("test", "test"),
            ("", "live"),
        ],
    )
    def test_a_key_of_another_mode_is_refused_before_anything_is_sent(self, key, mode):
        with pytest.raises(Misconfigured, match=f"mode {mode}"):
            open_gateway("https://api.stripe.com", key=key, mode=mode)

    @pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
    def test_live_keys_belong_to_live_accounts(self, key):
        assert open_gateway("https://api.stripe.com", key=key, mode="live").account.mode == "live"

    def test_a_restricted_key_is_checked_by_what_it_may_do(self, processor, gateway):
        say(processor, error(message="The key lacks a right."), 403)
        say(processor, listed())
        assert gateway.check_credentials() == "Stripe accepts the restricted key (test mode)."
        assert processor.received[1].path == "/v1/charges?limit=1"

    def test_a_restricted_key_that_may_not_even_list_is_refused(self, processor, gateway):
        say(processor, error(), 403)
        say(processor, error(message="No charges for you."), 403)
        with pytest.raises(NotSent, match="No charges for you") as caught:
            gateway.check_credentials()
        assert caught.value.reason == "credentials"

    def test_an_account_without_a_name_is_told_by_its_id(self, processor, gateway):
        say(processor, {"id": "acct_1", "object": "account"})
        assert "acct_1" in gateway.check_credentials()


class TestReading:
    def read(self, processor, gateway, **changes):
        say(processor, charge(**changes))
        payment = gateway.get_payment("ch_1")
        assert payment is not None
        return payment

    def test_a_charge(self, processor, gateway):
        payment = self.read(processor, gateway)
        assert payment.external_id == "ch_1"
        assert payment.amount == Money(5000, "EUR")
        assert payment.status is PaymentStatus.SETTLED
        assert payment.created_at == SINCE
        assert (payment.payer.name, payment.payer.email) == ("Ann Bee", "ann@example.com")
        assert payment.order_reference == "ORD-1"
        assert payment.description == "Two hats"
        assert payment.related_ids == ("pi_1",)
        assert processor.received[0].path == "/v1/charges/ch_1"

    @pytest.mark.parametrize(
        ("changes", "status", "minor"),
        [
            ({}, PaymentStatus.SETTLED, 5000),
            ({"amount_captured": 3000}, PaymentStatus.SETTLED, 3000),
            ({"status": "pending"}, PaymentStatus.CAPTURED, 5000),
            ({"status": "failed", "captured": False, "amount_captured": 0}, PaymentStatus.FAILED, 5000),
            ({"captured": False, "amount_captured": 0}, PaymentStatus.AUTHORIZED, 5000),
            (
                {"captured": False, "amount_captured": 0, "refunded": True},
                PaymentStatus.VOIDED,
                5000,
            ),
        ],
    )  # fmt: skip
    def test_statuses(self, processor, gateway, changes, status, minor):
        payment = self.read(processor, gateway, **changes)
        assert (payment.status, payment.amount.minor) == (status, minor)

    @pytest.mark.parametrize(
        ("details", "method"),
        [
            (
                {"type": "card", "card": {"brand": "amex", "last4": "0005",
                 "wallet": {"type": "apple_pay"}}},
                ("card", "amex", "0005", "apple_pay"),
            ),
            ({"type": "card_present", "card_present": {"brand": "visa", "last4": "1"}},
             ("card", "visa", "1", "")),
            ({"type": "us_bank_account", "us_bank_account": {"last4": "6789"}},
             ("bank", "us_bank_account", "6789", "")),
            ({"type": "ideal", "ideal": {"iban_last4": "4300"}}, ("bank", "ideal", "4300", "")),
            ({"type": "link", "link": {}}, ("wallet", "", "", "link")),
            ({"type": "klarna", "klarna": {}}, ("other", "klarna", "", "")),
            (None, ("other", "", "", "")),
        ],
    )  # fmt: skip
    def test_methods(self, processor, gateway, details, method):
        payment = self.read(processor, gateway, payment_method_details=details)
        found = payment.method
        assert (found.type, found.brand, found.last4, found.wallet) == method

    def test_what_may_be_missing(self, processor, gateway):
        payment = self.read(
            processor,
            gateway,
            billing_details={"name": None, "email": None},
            receipt_email=None,
            description=None,
            metadata={},
            payment_intent=None,
        )
        assert (payment.payer.name, payment.payer.email) == ("", "")
        assert (payment.order_reference, payment.related_ids) == ("", ())

    def test_expanded_objects_are_read_by_their_ids(self, processor, gateway):
        assert self.read(processor, gateway, payment_intent={"id": "pi_9"}).related_ids == ("pi_9",)

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount_captured": 10.5},
            {"amount_captured": "5000"},
            {"currency": "xxx"},
            {"currency": "isk", "amount_captured": 1050},
            {"status": "curious"},
            {"created": None},
            {"id": None},
        ],
    )
    def test_what_cannot_be_read_is_never_half_read(self, processor, gateway, changes):
        say(processor, charge(**changes))
        with pytest.raises(OutcomeUnknown, match="Stripe answered, but"):
            gateway.get_payment("ch_1")
        say(processor, listed(charge(id="ch_2"), charge(**changes)))
        (page,) = gateway.list_payments(SINCE, UNTIL)
        assert [payment.external_id for payment in page.records] == ["ch_2"]
        assert len(page.rejected) == 1

    @pytest.mark.parametrize(("mode", "livemode"), [("test", True), ("live", False)])
    def test_data_of_the_other_mode_is_refused(self, processor, mode, livemode):
        gateway = open_gateway(processor.url, key=f"sk_{mode}_1", mode=mode)
        say(processor, charge(livemode=livemode))
        with pytest.raises(Misconfigured, match="other mode"):
            gateway.get_payment("ch_1")
        say(processor, listed(charge(livemode=livemode)))
        with pytest.raises(Misconfigured, match="other mode"):
            list(gateway.list_payments(SINCE, UNTIL))

    def test_only_a_missing_charge_is_no_payment(self, processor, gateway):
        say(processor, error(code="resource_missing", param="id"), 404)
        assert gateway.get_payment("ch_1") is None
        say(processor, error(message="Unrecognized request URL"), 404)
        with pytest.raises(OutcomeUnknown, match="Unrecognized request URL"):
            gateway.get_payment("ch_1")


class TestLists:
    def test_ask_for_a_window_and_follow_the_cursor(self, processor, gateway):
        say(processor, listed(charge(id="ch_3"), charge(id="ch_2"), has_more=True))
        say(processor, listed(charge(id="ch_1")))
        pages = list(gateway.list_payments(SINCE, UNTIL))
        assert [page.cursor for page in pages] == ["ch_2", ""]
        queries = [dict(parse_qsl(urlsplit(each.path).query)) for each in processor.received]
        window = {
            "created[gte]": str(int(SINCE.timestamp())),
            "created[lt]": str(int(UNTIL.timestamp())),
            "limit": "100",
        }
        assert queries == [window, {**window, "starting_after": "ch_2"}]

    @pytest.mark.parametrize(
        "answer",
        [
            {"object": "list", "data": [], "has_more": True},
            {"object": "list", "data": [{"object": "charge"}], "has_more": True},
            {"object": "list", "data": {}, "has_more": False},
            [],
        ],
    )
    def test_that_break_off_are_not_taken_for_whole(self, processor, gateway, answer):
        say(processor, answer)
        with pytest.raises(OutcomeUnknown):
            list(gateway.list_payments(SINCE, UNTIL))

    def test_of_refunds_tell_failures_and_voids(self, processor, gateway):
        rows = [
            refund(id="re_1", status="failed", failure_reason="lost_or_stolen_card"),
            refund(id="re_2", status="canceled", metadata={}),
            refund(id="re_3", status="requires_action"),
            refund(id="re_4", balance_transaction=None),
            refund(id="re_5", status="curious"),
        ]
        say(processor, listed(*rows))
        (page,) = gateway.list_refunds(SINCE, UNTIL)
        failures = [record.failure and record.failure.code for record in page.records]
        assert failures == [FailureCode.CARD_NOT_VALID, FailureCode.OTHER, None, None]
        assert [record.state for record in page.records] == [
            RefundState.FAILED,
            RefundState.FAILED,
            RefundState.PENDING,
            RefundState.SUCCEEDED,
        ]
        assert [record.reference for record in page.records][:2] == ["REF0000001", ""]
        assert page.records[3].operation is Operation.VOID
        assert [record.external_id for record in page.rejected] == ["re_5"]

    def test_forget_the_evidence_of_pages_that_were_read(self, processor, gateway):
        for number in range(3):
            say(processor, listed(charge(id=f"ch_{number}"), has_more=number < 2))
        for _ in gateway.list_payments(SINCE, UNTIL):
            assert gateway.transport.exchanges == []


class TestRefund:
    def test_sends_an_explicit_amount_under_our_key(self, processor, gateway):
        say(processor, refund())
        result = gateway.refund(replace(ORDER, reason="duplicate"))
        assert result.state is RefundState.SUCCEEDED
        (request,) = processor.received
        assert (request.method, request.path) == ("POST", "/v1/refunds")
        assert form_of(request) == {
            "charge": "ch_1",
            "amount": "1250",
            "reason": "duplicate",
            f"metadata[{REFERENCE_KEY}]": "REF0000001",
        }
        assert request.headers["idempotency-key"] == "REF0000001"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["connection"] == "close"

    @pytest.mark.parametrize("reason", ["", "fraudulent", "goodwill", "anything"])
    def test_sends_no_reason_that_means_more_to_stripe(self, processor, gateway, reason):
        say(processor, refund())
        gateway.refund(replace(ORDER, reason=reason))
        assert "reason" not in form_of(processor.received[0])

    @pytest.mark.parametrize(
        ("minor", "currency", "sent"),
        [
            (1999, "USD", 1999),
            (1500, "JPY", 1500),
            (1500, "ISK", 150000),
            (1500, "UGX", 150000),
            (150000, "MGA", 1500),
            (12340, "KWD", 12340),
            (12300, "IQD", 1230),
            (1250, "HUF", 1250),
            (1250, "TWD", 1250),
        ],
    )
    def test_counts_as_stripe_does(self, processor, gateway, minor, currency, sent):
        amount = Money(minor, currency)
        order = replace(ORDER, amount=amount, payment_amount=amount)
        say(processor, refund(amount=sent, currency=currency.lower()))
        assert gateway.refund(order).amount == amount
        assert form_of(processor.received[0])["amount"] == str(sent)

    @pytest.mark.parametrize(("minor", "currency"), [(12345, "KWD"), (150001, "MGA"), (5, "LYD")])
    def test_never_rounds(self, processor, gateway, minor, currency):
        amount = Money(minor, currency)
        with pytest.raises(NotSent, match="takes multiples of") as caught:
            gateway.refund(replace(ORDER, amount=amount, payment_amount=amount))
        assert caught.value.reason == "refused_locally"
        assert processor.received == []

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("succeeded", RefundState.SUCCEEDED),
            ("pending", RefundState.PENDING),
            ("requires_action", RefundState.PENDING),
            ("failed", RefundState.FAILED),
            ("canceled", RefundState.FAILED),
        ],
    )
    def test_tells_every_status(self, processor, gateway, status, state):
        say(processor, refund(status=status))
        result = gateway.refund(ORDER)
        assert (result.state, result.refund_id) == (state, "re_1")
        assert (result.failure is not None) == (state is RefundState.FAILED)

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": 1251},
            {"currency": "usd"},
            {"charge": "ch_2"},
            {"charge": None},
            {"metadata": {}},
            {"metadata": {REFERENCE_KEY: "OTHER"}},
            {"status": "curious"},
            {"id": ""},
            {"amount": "1250"},
        ],
    )
    def test_of_something_else_is_evidence_not_success(self, processor, gateway, changes):
        say(processor, refund(**changes))
        with pytest.raises(OutcomeUnknown, match="Stripe answered, but") as caught:
            gateway.refund(ORDER)
        assert '"re' in caught.value.exchanges[0].response or "id" in changes

    @pytest.mark.parametrize(
        ("status", "fields", "code"),
        [
            (400, {"code": "charge_already_refunded"}, FailureCode.ALREADY_REFUNDED),
            (
                400,
                {
                    "param": "amount",
                    "message": "Refund amount (9) is greater than unrefunded amount on charge (5)",
                },
                FailureCode.EXCEEDS_REFUNDABLE,
            ),
            (400, {"code": "amount_too_large"}, FailureCode.INVALID_AMOUNT),
            (400, {"code": "amount_too_small"}, FailureCode.INVALID_AMOUNT),
            (400, {"code": "parameter_invalid_integer"}, FailureCode.INVALID_AMOUNT),
            (400, {"code": "charge_disputed"}, FailureCode.DISPUTED),
            (400, {"code": "refund_disputed_payment"}, FailureCode.DISPUTED),
            (400, {"code": "charge_not_refundable"}, FailureCode.NOT_REFUNDABLE),
            (400, {"code": "payment_intent_unexpected_state"}, FailureCode.NOT_SETTLED),
            (400, {"code": "balance_insufficient"}, FailureCode.INSUFFICIENT_BALANCE),
            (400, {"code": "parameter_unknown"}, FailureCode.BAD_REQUEST),
            (400, {"code": "livemode_mismatch"}, FailureCode.ACCOUNT_PROBLEM),
            (402, {"type": "card_error", "code": "card_declined"}, FailureCode.DECLINED_BY_BANK),
            (402, {"code": "something"}, FailureCode.OTHER),
            (404, {"code": "resource_missing"}, FailureCode.PAYMENT_NOT_FOUND),
        ],
    )
    def test_refusals_are_results(self, processor, gateway, status, fields, code):
        say(processor, error(**fields), status)
        result = gateway.refund(ORDER)
        assert result.state is RefundState.FAILED
        assert result.failure is not None
        assert result.failure.code is code
        assert result.failure.message == fields.get("message", "It says no.")
        assert len(result.exchanges) == 1

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (400, error(type="idempotency_error", code="charge_already_refunded")),
            (400, error(code="a_code_of_next_year")),
            (400, error()),
            (400, error(param="amount", message="Something about the amount.")),
            (400, {"error": "text"}),
            (400, {"error": {"type": 5, "code": ["x"], "message": None}}),
            (400, []),
            (409, error(code="idempotency_key_in_use")),
            (409, error(code="charge_already_refunded")),
            (424, error()),
            (418, error()),
            (500, error(type="api_error")),
            (503, error(code="charge_already_refunded")),
            (302, {}),
            (200, []),
            (200, {}),
            (200, {"object": "refund"}),
        ],
    )
    def test_anything_else_leaves_the_outcome_unknown(self, processor, gateway, status, body):
        say(processor, body, status)
        with pytest.raises(OutcomeUnknown) as caught:
            gateway.refund(ORDER)
        assert str(caught.value).startswith("Stripe")
        assert len(caught.value.exchanges) == 1

    @pytest.mark.parametrize(
        "body", ["\xff\xfe", "<html>", "", '{"id": "re_1"', "null", '"text"', "NaN"]
    )
    @pytest.mark.parametrize("status", [200, 400, 502])
    def test_what_is_not_json_leaves_the_outcome_unknown(self, processor, gateway, status, body):
        processor.then(body.encode("latin-1"), status)
        with pytest.raises(OutcomeUnknown):
            gateway.refund(ORDER)

    def test_being_too_fast_says_how_long_to_wait(self, processor, gateway):
        say(processor, error(code="rate_limit"), 429, retry_after="7")
        with pytest.raises(NotSent) as caught:
            gateway.refund(ORDER)
        assert (caught.value.reason, caught.value.retry_after) == ("rate_limited", 7)

    def test_the_replay_of_a_stored_refusal_settles_the_question(self, processor, gateway):
        refused = error(code="charge_not_refundable")
        say(processor, refused, 400, idempotent_replayed="true")
        result = gateway.refund(SENT)
        assert result.failure is not None
        assert result.failure.code is FailureCode.NOT_REFUNDABLE
        say(processor, refused, 400)
        with pytest.raises(OutcomeUnknown, match="charge_not_refundable"):
            gateway.refund(SENT)

    def test_no_answer_is_asked_for_again_by_itself(self, processor, gateway):
        say(processor, error(type="api_error"), 500, stripe_should_retry="true")
        with pytest.raises(OutcomeUnknown):
            gateway.refund(ORDER)
        assert len(processor.received) == 1


class TestVoid:
    def test_cancels_the_intent_and_finds_its_record(self, processor, gateway):
        say(processor, intent())
        say(processor, listed(refund(id="re_9", amount=5000, balance_transaction=None)))
        result = gateway.void(VOID)
        assert (result.state, result.refund_id) == (RefundState.SUCCEEDED, "re_9")
        assert processor.received[0].path == "/v1/payment_intents/pi_1/cancel"
        assert processor.received[0].headers["idempotency-key"] == "REF0000001"

    @pytest.mark.parametrize(("status", "body"), [(200, listed()), (500, {}), (200, [])])
    def test_is_proven_whatever_its_record_is_called(self, processor, gateway, status, body):
        say(processor, intent())
        say(processor, body, status)
        result = gateway.void(VOID)
        assert (result.state, result.refund_id) == (RefundState.SUCCEEDED, "pi_1")

    @pytest.mark.parametrize(
        "changes", [{"status": "requires_capture"}, {"id": "pi_2"}, {"amount": 1}]
    )
    def test_of_something_else_is_evidence_not_success(self, processor, gateway, changes):
        say(processor, intent(**changes))
        with pytest.raises(OutcomeUnknown):
            gateway.void(VOID)

    def test_needs_a_payment_intent(self, processor, gateway):
        with pytest.raises(NotSent, match="no payment intent") as caught:
            gateway.void(replace(VOID, related_ids=()))
        assert caught.value.reason == "refused_locally"
        assert processor.received == []

    def test_is_looked_up_by_the_intent(self, processor, gateway):
        say(processor, intent(status="requires_capture"))
        assert gateway.find_refund(VOID).matches == ()
        say(processor, intent())
        say(
            processor, listed(refund(id="re_9", amount=5000, balance_transaction=None, metadata={}))
        )
        (match,) = gateway.find_refund(VOID).matches
        assert (match.external_id, match.reference) == ("re_9", "REF0000001")


class TestLookup:
    def test_reads_all_refunds_of_the_payment(self, processor, gateway):
        others = [refund(id=f"re_{number}", metadata={}) for number in range(2, 4)]
        say(processor, listed(*others, has_more=True))
        say(processor, listed(refund()))
        lookup = gateway.find_refund(SENT)
        assert [match.external_id for match in lookup.matches] == ["re_1"]
        assert lookup.complete
        assert len(lookup.exchanges) == 2
        assert processor.received[0].path == "/v1/refunds?charge=ch_1&limit=100"

    def test_shows_a_refund_of_ours_with_another_amount(self, processor, gateway):
        say(processor, listed(refund(amount=9)))
        (match,) = gateway.find_refund(SENT).matches
        assert match.amount == Money(9, "EUR")

    def test_is_no_answer_where_ours_cannot_be_read(self, processor, gateway):
        say(processor, listed(refund(status="curious")))
        with pytest.raises(OutcomeUnknown, match="curious"):
            gateway.find_refund(SENT)

    def test_minds_nobody_elses_odd_refund(self, processor, gateway):
        say(processor, listed(refund(status="curious", metadata={}), refund()))
        assert len(gateway.find_refund(SENT).matches) == 1

    def test_by_id_reads_that_refund(self, processor, gateway):
        say(processor, refund(status="failed", failure_reason="declined"))
        (match,) = gateway.find_refund(replace(SENT, refund_id="re_1")).matches
        assert match.state is RefundState.FAILED
        assert match.failure is not None
        assert match.failure.processor_code == "declined"
        assert processor.received[0].path == "/v1/refunds/re_1"


def test_the_sdk_may_close_its_connection(processor, gateway):
    say(processor, charge())
    gateway.get_payment("ch_1")
    gateway._client._requestor._client.close()
    say(processor, charge())
    assert gateway.get_payment("ch_1") is not None
