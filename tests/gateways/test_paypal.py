import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from gateways.errors import NotSent, OutcomeUnknown
from gateways.money import Money
from gateways.paypal import PayPalGateway
from gateways.transport import Transport

from .contract import KeyedGatewayContract

SECRET = "secret-of-hats"
SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = datetime(2026, 3, 2, tzinfo=UTC)
ORDER = RefundOrder(
    reference="REF0000001",
    payment_id="CAPTURE0000000001",
    amount=Money(1250, "EUR"),
    payment_amount=Money(5000, "EUR"),
)
SENT = replace(ORDER, first_sent_at=SINCE)
TOKEN = {"access_token": "A21.token-1", "token_type": "Bearer", "expires_in": 32400}
HOST = "https://api-m.paypal.com"

_logins = itertools.count(1)


class TestContract(KeyedGatewayContract):
    gateway_class = PayPalGateway
    account = "paypal-main"
    owner = "PayPal accepts the app of account "
    unknown_payment_id = "0UNKNOWN000000000"
    wrong_credentials = {"client_secret": "another-secret"}
    unreadable = {"order_reference": 5}
    exact_amounts = (("paypal-main", Money(1999, "USD")), ("paypal-main", Money(1500, "JPY")))
    voidable_status = ""
    test_cannot_void_what_has_settled = None  # it has no voids at all
    statuses = {
        "captured": PaymentStatus.CAPTURED,
        "settled": PaymentStatus.SETTLED,
        "failed": PaymentStatus.FAILED,
    }
    turned_away = {"401": "credentials", "403": "credentials", "429": ""}
    tries_after_401 = 2


def open_gateway(url, **credentials):
    """A gateway with a login of its own, so that no test finds the token of another."""
    login = {"client_id": f"hats-{next(_logins)}", "client_secret": SECRET, **credentials}
    transport = Transport(secrets=tuple(login.values()), total_seconds=10)
    return PayPalGateway(Account("hats", "test", url, login), transport)


@pytest.fixture
def fresh(processor):
    """A gateway that has not logged in yet."""
    return open_gateway(processor.url)


@pytest.fixture
def gateway(processor, fresh):
    """A gateway that has logged in; what the processor received starts after that."""
    say(processor, TOKEN)
    say(processor, {}, 404)
    assert fresh.get_payment("X") is None
    processor.received.clear()
    return fresh


def say(processor, data, status=200, **headers):
    processor.then(json.dumps(data), status, **headers)


def issue(name, *, outer="UNPROCESSABLE_ENTITY"):
    return {
        "name": outer,
        "message": "It says no.",
        "debug_id": "d1",
        "details": [{"issue": name, "description": f"Because of {name}."}],
    }


def up(path):
    return [{"href": f"{HOST}{path}", "rel": "up", "method": "GET"}]


def money(value, currency="EUR"):
    return {"currency_code": currency, "value": value}


def capture(**changes):
    return {
        "id": "CAPTURE0000000001",
        "status": "COMPLETED",
        "amount": money("50.00"),
        "invoice_id": "ORD-1",
        "create_time": "2026-03-01T10:00:00Z",
        "supplementary_data": {"related_ids": {"order_id": "ORDER000000000001"}},
        **changes,
    }


def order(*refunds, **changes):
    return {
        "id": "ORDER000000000001",
        "payment_source": {
            "card": {"name": "Ann Bee", "brand": "VISA", "last_digits": "4242"},
        },
        "purchase_units": [{"description": "Two hats", "payments": {"refunds": list(refunds)}}],
        **changes,
    }


def refund(**changes):
    return {
        "id": "REFUND00000000001",
        "status": "COMPLETED",
        "amount": money("12.50"),
        "invoice_id": "REF0000001",
        "custom_id": "REF0000001",
        "create_time": "2026-03-01T11:00:00Z",
        "links": up("/v2/payments/captures/CAPTURE0000000001"),
        **changes,
    }


def row(transaction_id="TX1", code="T0006", *, payer=None, cart=None, **changes):
    return {
        "transaction_info": {
            "transaction_id": transaction_id,
            "transaction_event_code": code,
            "transaction_initiation_date": "2026-03-01T03:00:00-0700",
            "transaction_amount": money("50.00"),
            "transaction_status": "S",
            "paypal_reference_id": "ORDER000000000001",
            "paypal_reference_id_type": "ODR",
            "invoice_id": "ORD-1",
            "instrument_type": "PAYPAL",
            **changes,
        },
        "payer_info": payer or {},
        "cart_info": cart or {},
    }


def refund_row(transaction_id="RF1", code="T1107", **changes):
    about = {
        "transaction_amount": money("-12.50"),
        "paypal_reference_id": "CAPTURE0000000001",
        "paypal_reference_id_type": "TXN",
        "invoice_id": "REF0000001",
        "custom_field": "REF0000001",
        **changes,
    }
    return row(transaction_id, code, **about)


def found(*rows, pages=1):
    return {"transaction_details": list(rows), "total_pages": pages, "total_items": len(rows)}


def query_of(request):
    return dict(parse_qsl(urlsplit(request.path).query))


class TestLogin:
    def test_is_made_once_and_bears_no_request_id(self, processor, fresh):
        say(processor, TOKEN)
        say(processor, refund(), 201)
        say(processor, refund(id="REFUND00000000002"), 201)
        fresh.refund(ORDER)
        fresh.refund(ORDER)
        login, first, second = processor.received
        assert (login.path, login.body) == ("/v1/oauth2/token", b"grant_type=client_credentials")
        assert login.headers["content-type"] == "application/x-www-form-urlencoded"
        assert login.headers["authorization"].startswith("Basic ")
        assert "paypal-request-id" not in login.headers
        for request in (first, second):
            assert request.headers["authorization"] == "Bearer A21.token-1"

    def test_is_shared_by_gateways_of_one_app(self, processor):
        gateways = [open_gateway(processor.url, client_id="hats-shared") for _ in range(2)]
        say(processor, TOKEN)
        for gateway in gateways:
            say(processor, {"account_id": "HATS"})
            gateway.check_credentials()
        assert len(processor.received) == 3

    def test_that_ended_is_made_again_once(self, processor, gateway):
        say(processor, {"error": "invalid_token"}, 401)
        say(processor, {**TOKEN, "access_token": "A21.token-2"})
        say(processor, refund(), 201)
        assert gateway.refund(ORDER).state is RefundState.SUCCEEDED
        first, _, second = processor.received
        assert second.headers["authorization"] == "Bearer A21.token-2"
        assert (first.body, first.path) == (second.body, second.path)

    def test_that_is_never_good_is_given_up(self, processor, gateway):
        for _ in range(2):
            say(processor, {"error": "invalid_token", "error_description": "Token invalid"}, 401)
            say(processor, TOKEN)
        with pytest.raises(NotSent, match="Token invalid") as caught:
            gateway.refund(ORDER)
        assert caught.value.reason == "credentials"
        assert len(processor.received) == 3

    @pytest.mark.parametrize(
        ("status", "body", "reason"),
        [
            (401, {"error": "invalid_client", "error_description": "No such app"}, "credentials"),
            (400, {"error": "invalid_client"}, "credentials"),
            (403, {}, "credentials"),
            (429, {"name": "RATE_LIMIT_REACHED"}, "rate_limited"),
            (500, {}, "unreachable"),
            (302, {}, "unreachable"),
            (200, {}, "unreachable"),
            (200, [], "unreachable"),
            (200, {"access_token": "x", "expires_in": "soon"}, "unreachable"),
            (200, {"access_token": 5, "expires_in": 60}, "unreachable"),
        ],
    )
    def test_that_fails_means_that_no_refund_was_sent(self, processor, fresh, status, body, reason):
        say(processor, body, status)
        with pytest.raises(NotSent, match="nothing else was sent") as caught:
            fresh.refund(ORDER)
        assert caught.value.reason == reason
        assert [request.path for request in processor.received] == ["/v1/oauth2/token"]

    def test_that_breaks_off_means_that_no_refund_was_sent(self, processor, fresh):
        processor.then(None)
        with pytest.raises(NotSent) as caught:
            fresh.refund(ORDER)
        assert caught.value.reason == "unreachable"

    def test_that_fails_proves_nothing_about_an_earlier_try(self, processor, fresh):
        say(processor, {"error": "invalid_client"}, 401)
        with pytest.raises(OutcomeUnknown, match="An earlier try may have been carried out"):
            fresh.refund(SENT)

    def test_leaves_no_token_in_the_evidence(self, processor, fresh):
        say(processor, TOKEN)
        processor.then(json.dumps({"echo": "A21.token-1", **refund()}), 201)
        result = fresh.refund(ORDER)
        assert len(result.exchanges) == 2
        assert "A21.token-1" not in repr(result.exchanges)


class TestReading:
    def read(self, processor, gateway, made, its_order=None, disputes=()):
        say(processor, made)
        if its_order is not None:
            say(processor, its_order)
        say(processor, {"items": [{"status": status} for status in disputes]})
        payment = gateway.get_payment("CAPTURE0000000001")
        assert payment is not None
        return payment

    def test_a_capture_with_its_order(self, processor, gateway):
        payment = self.read(processor, gateway, capture(), order())
        assert payment.external_id == "CAPTURE0000000001"
        assert payment.amount == Money(5000, "EUR")
        assert payment.status is PaymentStatus.SETTLED
        assert payment.created_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
        assert payment.payer.name == "Ann Bee"
        assert (payment.method.brand, payment.method.last4) == ("visa", "4242")
        assert (payment.order_reference, payment.description) == ("ORD-1", "Two hats")
        assert payment.related_ids == ("ORDER000000000001",)
        assert payment.has_details
        assert [request.path for request in processor.received] == [
            "/v2/payments/captures/CAPTURE0000000001",
            "/v2/checkout/orders/ORDER000000000001",
            "/v1/customer/disputes?disputed_transaction_id=CAPTURE0000000001",
        ]

    @pytest.mark.parametrize(
        ("status", "ours"),
        [
            ("COMPLETED", PaymentStatus.SETTLED),
            ("PARTIALLY_REFUNDED", PaymentStatus.SETTLED),
            ("REFUNDED", PaymentStatus.SETTLED),
            ("PENDING", PaymentStatus.CAPTURED),
            ("DECLINED", PaymentStatus.FAILED),
            ("FAILED", PaymentStatus.FAILED),
        ],
    )
    def test_statuses(self, processor, gateway, status, ours):
        assert self.read(processor, gateway, capture(status=status), order()).status is ours

    @pytest.mark.parametrize(
        ("source", "payer", "method"),
        [
            (
                {"paypal": {"email_address": "a@example.com",
                            "name": {"given_name": "Ann", "surname": "Bee"}}},
                ("Ann Bee", "a@example.com"), ("wallet", "", "", "paypal"),
            ),
            (
                {"apple_pay": {"name": "Ann Bee", "email_address": "a@example.com",
                               "card": {"brand": "VISA", "last_digits": "1111"}}},
                ("Ann Bee", "a@example.com"), ("card", "visa", "1111", "apple_pay"),
            ),
            ({"google_pay": {"card": {"last_digits": "2"}}}, ("Old Name", "old@example.com"),
             ("card", "", "2", "google_pay")),
            ({"venmo": {}}, ("Old Name", "old@example.com"), ("wallet", "", "", "venmo")),
            ({"ideal": {"name": "Ann Bee"}}, ("Ann Bee", "old@example.com"), ("bank", "ideal", "", "")),
            ({"oxxo": {}}, ("Old Name", "old@example.com"), ("other", "oxxo", "", "")),
            (None, ("Old Name", "old@example.com"), ("other", "", "", "")),
        ],
    )  # fmt: skip
    def test_payers_and_methods(self, processor, gateway, source, payer, method):
        old = {"name": {"given_name": "Old", "surname": "Name"}, "email_address": "old@example.com"}
        paid = order(payment_source=source, payer=old)
        payment = self.read(processor, gateway, capture(), paid)
        assert (payment.payer.name, payment.payer.email) == payer
        found_method = payment.method
        assert (
            found_method.type,
            found_method.brand,
            found_method.last4,
            found_method.wallet,
        ) == method

    def test_the_order_may_be_named_by_a_link(self, processor, gateway):
        linked = capture(supplementary_data=None, links=up("/v2/checkout/orders/ORDER9"))
        assert self.read(processor, gateway, linked, order()).related_ids == ("ORDER9",)

    def test_an_old_payment_has_no_order(self, processor, gateway):
        alone = capture(supplementary_data=None, invoice_id=None, custom_id="C1", links=[])
        payment = self.read(processor, gateway, alone)
        assert (payment.related_ids, payment.description) == ((), "")
        assert payment.order_reference == "C1"

    @pytest.mark.parametrize(
        ("disputes", "reason", "disputed"),
        [
            ((), "", False),
            (("RESOLVED",), "", False),
            (("RESOLVED", "UNDER_REVIEW"), "", True),
            (("OPEN",), "", True),
            ((), "CHARGEBACK", True),
            ((), "BUYER_COMPLAINT", True),
            ((), "ECHECK", False),
        ],
    )
    def test_disputes(self, processor, gateway, disputes, reason, disputed):
        made = capture(status_details={"reason": reason})
        assert self.read(processor, gateway, made, order(), disputes).disputed is disputed

    def test_disputes_are_a_right_that_an_app_may_lack(self, processor, gateway):
        say(processor, capture())
        say(processor, order())
        say(processor, {"name": "NOT_AUTHORIZED"}, 403)
        payment = gateway.get_payment("CAPTURE0000000001")
        assert payment is not None
        assert not payment.disputed

    def test_disputes_that_cannot_be_asked_for_now_are_not_none(self, processor, gateway):
        say(processor, capture())
        say(processor, order())
        say(processor, {"name": "RATE_LIMIT_REACHED"}, 429, retry_after="3")
        with pytest.raises(NotSent) as caught:
            gateway.get_payment("CAPTURE0000000001")
        assert (caught.value.reason, caught.value.retry_after) == ("rate_limited", 3)

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": money("50,00")},
            {"amount": money("50.001")},
            {"amount": money("50.00", "XXX")},
            {"amount": money(50.0)},
            {"amount": None},
            {"status": "CURIOUS"},
            {"create_time": "yesterday"},
            {"id": None},
        ],
    )
    def test_what_cannot_be_read_is_never_half_read(self, processor, gateway, changes):
        with pytest.raises(OutcomeUnknown, match="PayPal answered, but"):
            self.read(processor, gateway, capture(**changes), order())

    def test_an_error_is_not_a_missing_payment(self, processor, gateway):
        say(processor, {}, 500)
        with pytest.raises(OutcomeUnknown):
            gateway.get_payment("CAPTURE0000000001")

    def test_ids_do_not_leave_their_place_in_the_address(self, processor, gateway):
        say(processor, {}, 404)
        gateway.get_payment("../x?y=1")
        assert processor.received[0].path == "/v2/payments/captures/..%2Fx%3Fy%3D1"


class TestPayments:
    def list(self, processor, gateway, *rows):
        say(processor, found(*rows))
        (page,) = gateway.list_payments(SINCE, UNTIL)
        return page

    def test_a_row(self, processor, gateway):
        payer = {"email_address": "a@example.com", "payer_name": {"alternate_full_name": "Ann Bee"}}
        cart = {"item_details": [{"item_name": "Two hats"}]}
        (payment,) = self.list(processor, gateway, row(payer=payer, cart=cart)).records
        assert payment.external_id == "TX1"
        assert payment.amount == Money(5000, "EUR")
        assert payment.created_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
        assert (payment.payer.name, payment.payer.email) == ("Ann Bee", "a@example.com")
        assert (payment.order_reference, payment.description) == ("ORD-1", "Two hats")
        assert payment.related_ids == ("ORDER000000000001",)
        assert not payment.has_details
        query = query_of(processor.received[0])
        assert query == {
            "start_date": "2026-03-01T00:00:00Z",
            "end_date": "2026-03-02T00:00:00Z",
            "fields": "transaction_info,payer_info,cart_info",
            "balance_affecting_records_only": "N",
            "page_size": "500",
            "page": "1",
        }

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({}, PaymentStatus.SETTLED),
            ({"transaction_status": "P"}, PaymentStatus.CAPTURED),
            ({"transaction_status": "D"}, PaymentStatus.FAILED),
            ({"transaction_status": "V"}, PaymentStatus.SETTLED),
        ],
    )
    def test_statuses(self, processor, gateway, changes, status):
        (payment,) = self.list(processor, gateway, row(**changes)).records
        assert payment.status is status

    @pytest.mark.parametrize(
        ("changes", "method"),
        [
            ({"instrument_type": "PAYPAL"}, ("wallet", "", "paypal")),
            ({"instrument_type": "CREDIT_CARD", "instrument_sub_type": "VISA"}, ("card", "visa", "")),
            ({"instrument_type": "APPLE_PAY", "instrument_sub_type": "VISA"},
             ("card", "visa", "apple_pay")),
            ({"instrument_type": "VENMO"}, ("wallet", "", "venmo")),
            ({"instrument_type": None}, ("other", "", "")),
        ],
    )  # fmt: skip
    def test_methods(self, processor, gateway, changes, method):
        (payment,) = self.list(processor, gateway, row(**changes)).records
        assert (payment.method.type, payment.method.brand, payment.method.wallet) == method

    def test_other_movements_are_no_payments(self, processor, gateway):
        page = self.list(
            processor,
            gateway,
            row("A", "T1107", transaction_amount=money("-5.00")),
            row("B", "T0400"),
            row("C", "T1300"),
            row("D", "T0006", transaction_amount=money("-5.00")),
            row("E", "T0006", paypal_reference_id_type="TXN"),
        )
        assert [payment.external_id for payment in page.records] == ["E"]
        assert page.records[0].related_ids == ()
        assert page.rejected == ()

    def test_bad_rows_are_reported_and_spoil_nothing(self, processor, gateway):
        page = self.list(
            processor,
            gateway,
            row("A"),
            row("B", transaction_amount=money("x")),
            row("C", transaction_status="?"),
            row("D", transaction_initiation_date="?"),
            row(None),
            "not a row",
        )
        assert [payment.external_id for payment in page.records] == ["A"]
        assert [each.external_id for each in page.rejected] == ["B", "C", "D", ""]
        assert "'x' is not an amount of EUR" in page.rejected[0].reason

    def test_a_hold_marks_its_payment(self, processor, gateway):
        held = row("H", "T1110", paypal_reference_id="A", transaction_amount=money("-50.00"))
        page = self.list(processor, gateway, row("A"), held, row("B"))
        assert [payment.disputed for payment in page.records] == [True, False]

    @pytest.mark.parametrize("code", ["T1110", "T1111", "T1201"])
    def test_a_dispute_of_an_older_payment_brings_that_payment(self, processor, gateway, code):
        old = row("H", code, paypal_reference_id="CAPTURE0000000001")
        nameless = row("I", code, paypal_reference_id=None)
        say(processor, found(row("A"), old, nameless))
        say(processor, capture())
        say(processor, order())
        say(processor, {"items": [{"status": "OPEN"}]})
        (page,) = gateway.list_payments(SINCE, UNTIL)
        assert [payment.external_id for payment in page.records] == ["A", "CAPTURE0000000001"]
        assert page.records[1].disputed

    def test_a_dispute_of_an_unknown_payment_brings_nothing(self, processor, gateway):
        say(processor, found(row("H", "T1201", paypal_reference_id="GONE")))
        say(processor, {}, 404)
        (page,) = gateway.list_payments(SINCE, UNTIL)
        assert page.records == ()


class TestSearch:
    def test_walks_months_and_pages(self, processor, gateway):
        until = SINCE + timedelta(days=40, microseconds=5)
        say(processor, found(row("A"), pages=2))
        say(processor, found(row("B"), pages=2))
        say(processor, found(pages=0))
        pages = list(gateway.list_payments(SINCE, until))
        assert [len(page.records) for page in pages] == [1, 1, 0]
        asked = [
            (query["start_date"], query["end_date"], query["page"])
            for query in map(query_of, processor.received)
        ]
        assert asked == [
            ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "1"),
            ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "2"),
            ("2026-04-01T00:00:00Z", "2026-04-10T00:00:01Z", "1"),
        ]

    def test_resumes_where_a_cursor_says(self, processor, gateway):
        say(processor, found(row("A"), pages=2))
        page = next(gateway.list_payments(SINCE, UNTIL))
        say(processor, found(row("B"), pages=2))
        (rest,) = gateway.list_payments(SINCE, UNTIL, page.cursor)
        assert [payment.external_id for payment in rest.records] == ["B"]
        assert query_of(processor.received[-1])["page"] == "2"

    def test_asks_for_less_where_there_is_too_much(self, processor, gateway):
        too_large = {"name": "RESULTSET_TOO_LARGE", "total_items": 10001, "maximum_items": 10000}
        say(processor, too_large, 400)
        say(processor, found(row("A"), pages=1))
        say(processor, found(row("B", transaction_initiation_date="2026-03-01T14:00:00Z")))
        pages = list(gateway.list_payments(SINCE, UNTIL))
        assert [payment.external_id for page in pages for payment in page.records] == ["A", "B"]
        asked = [
            (query["start_date"][8:13], query["end_date"][8:13])
            for query in map(query_of, processor.received)
        ]
        assert asked == [("01T00", "02T00"), ("01T00", "01T12"), ("01T12", "02T00")]

    def test_gives_up_where_one_second_is_too_much(self, processor, gateway):
        say(processor, {"name": "RESULTSET_TOO_LARGE"}, 400)
        with pytest.raises(OutcomeUnknown, match="too many transactions"):
            list(gateway.list_payments(SINCE, SINCE + timedelta(seconds=1)))

    def test_other_refusals_are_errors(self, processor, gateway):
        say(processor, {"name": "INVALID_REQUEST", "message": "No."}, 400)
        with pytest.raises(OutcomeUnknown, match="INVALID_REQUEST"):
            list(gateway.list_payments(SINCE, UNTIL))

    def test_an_answer_without_pages_is_not_taken_for_whole(self, processor, gateway):
        say(processor, {"transaction_details": []})
        with pytest.raises(OutcomeUnknown, match="total_pages"):
            list(gateway.list_payments(SINCE, UNTIL))

    def test_counts_the_second_between_two_windows_once(self, processor, gateway):
        border = row("A", transaction_initiation_date="2026-04-01T00:00:00Z")
        say(processor, found(border))
        say(processor, found(border))
        pages = list(gateway.list_payments(SINCE, SINCE + timedelta(days=40)))
        assert [len(page.records) for page in pages] == [0, 1]

    def test_of_nothing_asks_once(self, processor, gateway):
        say(processor, found())
        assert len(list(gateway.list_payments(SINCE, SINCE))) == 1


class TestRefunds:
    def test_rows_of_the_merchant_and_of_paypal(self, processor, gateway):
        say(processor, found(refund_row("A"), refund_row("B", custom_field=None)))
        say(processor, found(refund_row("C", code="T1106", invoice_id=None, custom_field=None)))
        pages = list(gateway.list_refunds(SINCE, UNTIL))
        refunds = [each for page in pages for each in page.records]
        assert [each.external_id for each in refunds] == ["A", "B", "C"]
        assert [each.reference for each in refunds] == ["REF0000001", "REF0000001", ""]
        assert {each.amount for each in refunds} == {Money(1250, "EUR")}
        assert {each.payment_id for each in refunds} == {"CAPTURE0000000001"}
        kinds = [query_of(request)["transaction_type"] for request in processor.received]
        assert kinds == ["T1107", "T1106"]

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("S", RefundState.SUCCEEDED),
            ("P", RefundState.PENDING),
            ("D", RefundState.FAILED),
            ("V", RefundState.FAILED),
        ],
    )
    def test_states(self, processor, gateway, status, state):
        say(processor, found(refund_row(transaction_status=status)))
        say(processor, found())
        first, _ = gateway.list_refunds(SINCE, UNTIL)
        assert first.records[0].state is state
        assert (first.records[0].failure is not None) == (state is RefundState.FAILED)

    def test_resume_with_the_kind_that_comes_next(self, processor, gateway):
        say(processor, found(refund_row("A")))
        page = next(gateway.list_refunds(SINCE, UNTIL))
        say(processor, found(refund_row("B", code="T1106")))
        (rest,) = gateway.list_refunds(SINCE, UNTIL, page.cursor)
        assert [each.external_id for each in rest.records] == ["B"]


class TestRefund:
    def test_sends_an_explicit_amount_under_our_request_id(self, processor, gateway):
        say(processor, refund(), 201)
        result = gateway.refund(ORDER)
        assert (result.state, result.refund_id) == (RefundState.SUCCEEDED, "REFUND00000000001")
        assert result.amount == Money(1250, "EUR")
        (request,) = processor.received
        assert request.path == "/v2/payments/captures/CAPTURE0000000001/refund"
        assert json.loads(request.body) == {
            "amount": {"currency_code": "EUR", "value": "12.50"},
            "invoice_id": "REF0000001",
            "custom_id": "REF0000001",
        }
        assert request.headers["paypal-request-id"] == "REF0000001"
        assert request.headers["prefer"] == "return=representation"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["connection"] == "close"

    @pytest.mark.parametrize(
        ("minor", "currency", "value"),
        [
            (1999, "USD", "19.99"),
            (1500, "JPY", "1500"),
            (150000, "HUF", "1500"),
            (150000, "TWD", "1500"),
            (1, "EUR", "0.01"),
        ],
    )
    def test_counts_as_paypal_does(self, processor, gateway, minor, currency, value):
        amount = Money(minor, currency)
        say(processor, refund(amount=money(value, currency)), 201)
        result = gateway.refund(replace(ORDER, amount=amount, payment_amount=amount))
        assert result.amount == amount
        assert json.loads(processor.received[0].body)["amount"] == money(value, currency)

    @pytest.mark.parametrize(("minor", "currency"), [(150001, "HUF"), (99, "TWD"), (12345, "KWD")])
    def test_never_rounds(self, processor, gateway, minor, currency):
        amount = Money(minor, currency)
        with pytest.raises(NotSent, match="takes multiples of") as caught:
            gateway.refund(replace(ORDER, amount=amount, payment_amount=amount))
        assert caught.value.reason == "refused_locally"
        assert processor.received == []

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("COMPLETED", RefundState.SUCCEEDED),
            ("PENDING", RefundState.PENDING),
            ("FAILED", RefundState.FAILED),
            ("CANCELLED", RefundState.FAILED),
        ],
    )
    def test_tells_every_status(self, processor, gateway, status, state):
        say(processor, refund(status=status), 201)
        result = gateway.refund(ORDER)
        assert result.state is state
        assert (result.failure is not None) == (state is RefundState.FAILED)

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": money("12.51")},
            {"amount": money("12.50", "USD")},
            {"amount": None},
            {"custom_id": "OTHER"},
            {"custom_id": None, "invoice_id": None},
            {"links": up("/v2/payments/captures/OTHER")},
            {"status": "CURIOUS"},
            {"id": None},
        ],
    )
    def test_of_something_else_is_evidence_not_success(self, processor, gateway, changes):
        say(processor, refund(**changes), 201)
        with pytest.raises(OutcomeUnknown, match="PayPal answered, but") as caught:
            gateway.refund(ORDER)
        assert caught.value.exchanges[-1].status == 201

    @pytest.mark.parametrize("links", [[], None, [{"rel": "up", "href": "elsewhere"}]])
    def test_may_leave_the_payment_unnamed(self, processor, gateway, links):
        say(processor, refund(links=links), 201)
        assert gateway.refund(ORDER).state is RefundState.SUCCEEDED

    @pytest.mark.parametrize(
        ("status", "name", "code"),
        [
            (422, "CAPTURE_FULLY_REFUNDED", FailureCode.ALREADY_REFUNDED),
            (422, "REFUND_AMOUNT_EXCEEDED", FailureCode.EXCEEDS_REFUNDABLE),
            (422, "REFUND_TIME_LIMIT_EXCEEDED", FailureCode.TOO_OLD),
            (422, "REFUND_FAILED_INSUFFICIENT_FUNDS", FailureCode.INSUFFICIENT_BALANCE),
            (422, "TRANSACTION_DISPUTED", FailureCode.DISPUTED),
            (422, "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK", FailureCode.DISPUTED),
            (422, "PARTIAL_REFUND_NOT_ALLOWED", FailureCode.NOT_REFUNDABLE),
            (422, "MAX_NUMBER_OF_REFUNDS_EXCEEDED", FailureCode.LIMIT_REACHED),
            (422, "PENDING_CAPTURE", FailureCode.NOT_SETTLED),
            (422, "REFUND_NOT_ALLOWED", FailureCode.NOT_REFUNDABLE),
            (422, "CURRENCY_MISMATCH", FailureCode.CURRENCY_NOT_ACCEPTED),
            (422, "DECIMALS_NOT_SUPPORTED", FailureCode.INVALID_AMOUNT),
            (422, "PAYER_ACCOUNT_LOCKED_OR_CLOSED", FailureCode.CARD_NOT_VALID),
            (422, "PAYEE_ACCOUNT_RESTRICTED", FailureCode.ACCOUNT_PROBLEM),
            (422, "REFUND_IS_RESTRICTED", FailureCode.ACCOUNT_PROBLEM),
            (400, "INVALID_STRING_LENGTH", FailureCode.BAD_REQUEST),
            (404, "INVALID_RESOURCE_ID", FailureCode.PAYMENT_NOT_FOUND),
        ],
    )
    def test_refusals_are_results(self, processor, gateway, status, name, code):
        say(processor, issue(name), status)
        result = gateway.refund(ORDER)
        assert result.state is RefundState.FAILED
        assert result.failure is not None
        assert (result.failure.code, result.failure.processor_code) == (code, name)
        assert result.failure.message == f"Because of {name}."

    @pytest.mark.parametrize(
        ("status", "name"), [(404, "RESOURCE_NOT_FOUND"), (415, "UNSUPPORTED_MEDIA_TYPE")]
    )
    def test_a_refusal_may_have_a_name_only(self, processor, gateway, status, name):
        say(processor, {"name": name, "message": "It says no."}, status)
        failure = gateway.refund(ORDER).failure
        assert failure is not None
        assert (failure.processor_code, failure.message) == (name, "It says no.")

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (422, issue("DUPLICATE_INVOICE_ID")),
            (422, issue("DUPLICATE_REFUND")),
            (422, issue("AN_ISSUE_OF_NEXT_YEAR")),
            (422, {"name": "UNPROCESSABLE_ENTITY", "details": "text"}),
            (422, {"name": ["x"], "details": [5]}),
            (422, []),
            (400, {"name": "INVALID_REQUEST"}),
            (409, issue("PREVIOUS_REQUEST_IN_PROGRESS", outer="RESOURCE_CONFLICT")),
            (409, issue("CAPTURE_FULLY_REFUNDED")),
            (405, {}),
            (410, {}),
            (418, {}),
            (429, {"name": "RATE_LIMIT_REACHED"}),
            (500, issue("CAPTURE_FULLY_REFUNDED")),
            (503, {}),
            (302, {}),
            (600, {}),
            (200, []),
            (200, {}),
            (201, {"id": "R", "status": "COMPLETED"}),
        ],
    )
    def test_anything_else_leaves_the_outcome_unknown(self, processor, gateway, status, body):
        say(processor, body, status)
        with pytest.raises(OutcomeUnknown) as caught:
            gateway.refund(ORDER)
        assert str(caught.value).startswith("PayPal")
        assert caught.value.exchanges

    @pytest.mark.parametrize("body", ["\xff\xfe", "<html>", "", '{"id": "R"', "null", '"text"'])
    @pytest.mark.parametrize("status", [201, 422, 502])
    def test_what_is_not_json_leaves_the_outcome_unknown(self, processor, gateway, status, body):
        processor.then(body.encode("latin-1"), status)
        with pytest.raises(OutcomeUnknown):
            gateway.refund(ORDER)

    def test_the_current_state_of_the_first_try_settles_the_question(self, processor, gateway):
        say(processor, refund(status="PENDING"), 200)
        assert gateway.refund(SENT).state is RefundState.PENDING
        say(processor, issue("REFUND_NOT_ALLOWED"), 422)
        with pytest.raises(OutcomeUnknown, match="REFUND_NOT_ALLOWED"):
            gateway.refund(SENT)

    def test_cannot_be_a_void(self, processor, gateway):
        whole = replace(ORDER, amount=Money(5000, "EUR"), operation=Operation.VOID)
        with pytest.raises(NotSent, match="cannot be cancelled"):
            gateway.void(whole)
        assert processor.received == []


class TestLookup:
    def test_reads_the_refunds_of_the_order(self, processor, gateway):
        say(processor, capture())
        others = [
            refund(id="R2", custom_id="OTHER", invoice_id="OTHER"),
            refund(id="R3", custom_id=None),
        ]
        say(processor, order(refund(), *others))
        lookup = gateway.find_refund(SENT)
        assert [match.external_id for match in lookup.matches] == ["REFUND00000000001", "R3"]
        assert lookup.complete
        assert len(lookup.exchanges) == 2

    def test_searches_where_there_is_no_order(self, processor, gateway):
        now = datetime.now(UTC)
        today = {"transaction_initiation_date": now.isoformat(timespec="seconds")}
        listed = [
            refund_row("A", **today),
            refund_row("B", paypal_reference_id="OTHER", **today),
            refund_row("C", custom_field="OTHER", **today),
        ]
        say(processor, capture(supplementary_data=None))
        say(processor, found(*listed))
        lookup = gateway.find_refund(replace(ORDER, first_sent_at=now))
        assert [match.external_id for match in lookup.matches] == ["A"]
        assert lookup.complete
        assert query_of(processor.received[1])["transaction_type"] == "T1107"

    def test_is_not_complete_where_it_is_not_known_when_it_was_sent(self, processor, gateway):
        say(processor, capture(supplementary_data=None))
        for _ in range(2):
            say(processor, found())
        assert not gateway.find_refund(ORDER).complete

    def test_by_id_reads_that_refund(self, processor, gateway):
        say(processor, refund(status="FAILED"))
        (match,) = gateway.find_refund(replace(SENT, refund_id="REFUND00000000001")).matches
        assert match.state is RefundState.FAILED
        assert match.failure is not None
        assert processor.received[0].path == "/v2/payments/refunds/REFUND00000000001"

    def test_is_no_answer_where_ours_cannot_be_read(self, processor, gateway):
        say(processor, capture())
        say(processor, order(refund(status="CURIOUS")))
        with pytest.raises(OutcomeUnknown, match="CURIOUS"):
            gateway.find_refund(SENT)


def test_a_slash_at_the_end_of_the_address_does_no_harm(processor):
    gateway = open_gateway(f"{processor.url}/")
    say(processor, TOKEN)
    say(processor, {"account_id": "HATS"})
    assert "HATS" in gateway.check_credentials()
    assert [each.path for each in processor.received] == [
        "/v1/oauth2/token",
        "/v1/reporting/balances",
    ]
