"""The control addresses: making things happen, and sentences for what makes no sense."""

from datetime import timedelta

import pytest

from gateways.sandbox.server import DIALECTS

from .merchants import Stripe


def test_the_page_for_people(sandbox, stripe):
    stripe.prefix = ""
    answer = stripe.send("GET", "/_sandbox/", headers={"Accept": "text/html,*/*"})
    page = answer.body.decode()
    assert answer.headers["Content-Type"].startswith("text/html")
    for text in ("sk_test_sandbox_main", "paypal-main", "4.02", "card …7726", "/_sandbox/clock"):
        assert text in page
    for dialect in DIALECTS:
        assert all(magic.happens.split("…")[0][:20] for magic in dialect.magic)


def test_the_same_for_programs(sandbox, control):
    known = control("/")
    by_name = {account["name"]: account for account in known["accounts"]}
    assert set(by_name) == {
        "stripe-main",
        "stripe-japan",
        "paypal-main",
        "authorizenet-us",
        "nmi-main",
    }
    assert by_name["nmi-main"]["base_url"] == f"{sandbox.url}/nmi"
    assert by_name["authorizenet-us"]["credentials"]["api_login_id"] == "sandboxLogin1"
    for dialect in known["dialects"].values():
        assert dialect["magic"], "a processor that cannot be made to refuse"


def test_a_payment_is_made(control, stripe):
    wish = {
        "account": "stripe-main",
        "amount": "12.50",
        "currency": "EUR",
        "payer_name": "Ada",
        "payer_email": None,
        "created_at": "2026-01-02T03:04:05Z",
        "order_reference": "SO-1",
    }
    payment = control("/payments", wish)["payment"]
    charge = stripe.get(f"/v1/charges/{payment['id']}").data
    assert (charge["amount"], charge["currency"], charge["status"]) == (1_250, "eur", "succeeded")
    assert charge["metadata"] == {"order_id": "SO-1"}
    assert control("/ledger")["payments"][0]["refundable_minor"] == 1_250


@pytest.mark.parametrize("dialect", ["stripe", "paypal", "authorizenet", "nmi"])
def test_a_payment_and_a_refund_by_hand_in_every_dialect(control, dialect):
    payment = control("/payments", {"dialect": dialect, "amount_minor": 1_000})["payment"]
    nightly = dialect in ("authorizenet", "nmi")
    assert payment["status"] == ("captured" if nightly else "settled")
    control("/clock", {"advance_seconds": 86_400})
    refund = control("/refunds", {"payment_id": payment["id"], "amount": "4.00"})["refund"]
    assert (refund["origin"], refund["amount_minor"]) == ("dashboard", 400)
    assert refund["status"] == ("pending" if nightly else "succeeded")
    control("/clock", {"advance_seconds": 86_400})
    known = control(f"/ledger?payment_id={payment['id']}")
    assert known["refunds"][0]["status"] == "succeeded"
    assert (known["payments"][0]["status"], known["payments"][0]["refunded_minor"]) == (
        "settled",
        400,
    )
    rest = control("/refunds", {"payment_id": payment["id"]})["refund"]
    assert rest["amount_minor"] == 600
    told = control("/refunds", {"payment_id": payment["id"]}, status=400)["error"]
    assert "Nothing is left" in told


def test_a_void_by_hand(control):
    payment = control("/payments", {"account": "nmi-main", "amount": "5.00"})["payment"]
    void = {"payment_id": payment["id"], "operation": "void"}
    control("/refunds", void)
    known = control("/ledger?account=nmi-main")
    assert known["payments"][0]["status"] == "voided"
    assert (known["voids"][0]["origin"], known["refunds"]) == ("dashboard", [])
    assert "cannot be voided" in control("/refunds", void, status=400)["error"]


def test_a_refund_can_fail_later(control, stripe):
    refund = stripe.refund(stripe.pay()).data
    control("/refunds", {"refund_id": refund["id"], "status": "failed"})
    later = stripe.get(f"/v1/refunds/{refund['id']}").data
    assert (later["status"], later["failure_reason"]) == ("failed", "declined")


def test_a_payment_can_be_disputed_or_settle(control, stripe):
    payment = stripe.pay(status="captured")
    control("/payments", {"payment_id": payment.id, "status": "settled"})
    assert payment.settled_at
    control("/payments", {"payment_id": payment.id, "dispute": "open"})
    assert stripe.get("/v1/disputes").data["data"][0]["charge"] == payment.id
    assert stripe.refund(payment).data["error"]["code"] == "refund_disputed_payment"


def test_the_clock(control, sandbox):
    before = sandbox.clock.now()
    control("/clock", {"advance_seconds": 90})
    assert sandbox.clock.now() - before >= timedelta(seconds=90)
    target = (sandbox.clock.now() + timedelta(days=2)).isoformat()
    assert control("/clock", {"now": target})["now"] >= target
    assert control("/clock")["now"] >= target
    told = control("/clock", {"now": "2020-01-01T00:00:00Z"}, status=400)["error"]
    assert told == "The clock only moves forward."


def test_settings_by_name(control, sandbox):
    account = sandbox.ledger.accounts["nmi-main"]
    control("/accounts", {"account": "nmi-main", "refund_shape": "B", "first_page": 1})
    control("/accounts", {"dialect": "nmi", "settings": {"refund_before_settlement": True}})
    settings = account.settings
    assert (settings.refund_shape, settings.first_page) == ("B", 1)
    assert settings.refund_before_settlement


@pytest.mark.parametrize(
    ("path", "wish", "told"),
    [
        ("/payments", {}, "`account` is one of"),
        ("/payments", {"account": "square"}, "`account` is one of"),
        ("/payments", {"account": "stripe-main"}, "Give `amount`"),
        ("/payments", {"account": "stripe-main", "amount": 12.5}, "`amount` is not an amount"),
        ("/payments", {"account": "stripe-main", "amount": "1.005"}, "too_many_decimals"),
        ("/payments", {"account": "stripe-main", "amount_minor": 1.5}, "whole number"),
        ("/payments", {"account": "stripe-main", "amount_minor": True}, "whole number"),
        ("/payments", {"account": "nmi-main", "amount": "1.00", "currency": "JPY"}, "USD, GBP"),
        ("/payments", {"account": "nmi-main", "color": "red"}, "Unknown field `color`"),
        ("/payments", {"account": "nmi-main", "status": "done"}, "`status` is one of"),
        ("/payments", {"account": "nmi-main", "brand": 5}, "`brand` is text"),
        (
            "/payments",
            {"account": "nmi-main", "amount": "1.00", "created_at": "now"},
            "`created_at` is not an ISO",
        ),
        (
            "/payments",
            {"account": "nmi-main", "amount": "1.00", "created_at": "0001-01-01T00:00:00+14:00"},
            "`created_at` is not an ISO",
        ),
        (
            "/payments",
            {"account": "nmi-main", "amount": "1.00", "created_at": "2026-01-01T00:00:00"},
            "no time zone",
        ),
        ("/payments", {"payment_id": "P0"}, "`payment_id` names a payment"),
        ("/refunds", {"payment_id": "P0"}, "`payment_id` names a payment"),
        ("/refunds", {"refund_id": "R0", "status": "failed"}, "`refund_id` names"),
        ("/refunds", {"status": "done"}, "`status` is one of"),
        ("/clock", {}, "`advance_seconds` is a number"),
        ("/clock", {"advance_seconds": -1}, "not negative"),
        ("/reset", {"payments": 300_000}, "from 0 to 200000"),
        ("/accounts", {"account": "nmi-main", "refund_shape": 5}, "`refund_shape` is str"),
        ("/accounts", {"account": "nmi-main", "balance": 5}, "`balance` is minor units"),
        ("/accounts", {"account": "nmi-main", "balance": {"USD": 1.5}}, "`balance` is minor"),
        ("/accounts", {"account": "nmi-main", "settings": 5}, "are objects"),
        ("/accounts", {"account": "nmi-main", "credentials": {"pin": "1"}}, "Unknown field `pin`"),
        ("/accounts", {"account": "nmi-main", "credentials": {"security_key": 1}}, "is text"),
    ],
)
def test_a_wish_that_makes_no_sense(control, path, wish, told):
    assert told in control(path, wish, status=400)["error"]


@pytest.mark.parametrize("body", ["{", "[]", "5", "null", ""])
def test_a_body_that_is_no_object(stripe, body):
    stripe.prefix = "/_sandbox"
    assert stripe.send("POST", "/payments", body).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("POST", "/ledger"), ("DELETE", "/ledger"), ("DELETE", "/faults/x")],
)
def test_what_is_not_there(stripe, method, path):
    stripe.prefix = "/_sandbox"
    assert stripe.send(method, path).status == 404


def test_the_ledger_can_be_narrowed(control, stripe, japan):
    mine = stripe.pay()
    japan.pay(500, "JPY")
    stripe.refund(mine, amount=100)
    (payment,) = control("/ledger?account=stripe-main")["payments"]
    assert (payment["id"], payment["amount"], payment["refundable_minor"]) == (
        mine.id,
        "100.00",
        9_900,
    )
    assert control("/ledger?dialect=paypal")["payments"] == []
    assert len(control("/ledger?dialect=stripe")["payments"]) == 2


def test_a_control_address_ends_with_or_without_a_slash(stripe):
    stripe.prefix = ""
    assert stripe.send("GET", "/_sandbox").status == 200
    assert stripe.send("GET", "/_sandbox/ledger/").status == 200


def test_over_the_connection_of_another_host(sandbox):
    merchant = Stripe(sandbox)
    merchant.prefix = ""
    answer = merchant.send("GET", "/_sandbox/", headers={"Host": "sandbox.example.com"})
    assert answer.data["dialects"]["stripe"]["base_url"] == "http://sandbox.example.com/stripe"
    merchant.close()
