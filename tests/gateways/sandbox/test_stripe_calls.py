"""Lists with cursors and bounds, single objects, disputes and events."""

from datetime import timedelta

import pytest

from .merchants import error_of, new_key


def ids(answer):
    return [row["id"] for row in answer.data["data"]]


def walk(stripe, path, **params):
    """All ids of a list, page by page."""
    found, more, cursor = [], True, {}
    while more:
        page = stripe.get(path, {**params, **cursor}).data
        found += [row["id"] for row in page["data"]]
        more = page["has_more"]
        if more:
            cursor = {"starting_after": found[-1]}
    return found


@pytest.fixture
def charges(stripe):
    """23 payments, an hour apart, oldest first; two of them at the same moment."""
    payments = [stripe.pay(age=timedelta(hours=30 - number)) for number in range(22)]
    return [*payments, stripe.pay(age=timedelta(hours=9))]


def test_pages_are_newest_first_and_complete(stripe, charges):
    newest = [payment.id for payment in reversed(charges)]
    assert ids(stripe.get("/v1/charges")) == newest[:10]
    assert walk(stripe, "/v1/charges", limit=7) == newest
    page = stripe.get("/v1/charges", {"limit": 5, "ending_before": newest[10]})
    assert ids(page) == newest[5:10]
    assert page.data["has_more"]
    assert not stripe.get("/v1/charges", {"limit": 5, "ending_before": newest[5]}).data["has_more"]


def test_the_cursor_stays_valid_while_new_payments_arrive(stripe, charges):
    first = ids(stripe.get("/v1/charges", {"limit": 5}))
    stripe.pay(age=timedelta())
    second = ids(stripe.get("/v1/charges", {"limit": 5, "starting_after": first[-1]}))
    assert second == [payment.id for payment in reversed(charges)][5:10]


def test_created_bounds(stripe, charges):
    moments = [int(payment.created_at.timestamp()) for payment in charges]
    for name, inside in (
        ("gt", lambda moment: moment > moments[4]),
        ("gte", lambda moment: moment >= moments[4]),
        ("lt", lambda moment: moment < moments[4]),
        ("lte", lambda moment: moment <= moments[4]),
    ):
        found = ids(stripe.get("/v1/charges", {f"created[{name}]": moments[4], "limit": 100}))
        wanted = [p.id for p, m in zip(charges, moments, strict=True) if inside(m)]
        assert sorted(found) == sorted(wanted)
    exactly = stripe.get("/v1/charges", {"created": moments[21]})
    assert len(ids(exactly)) == 2


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"created[after]": 5}, "created"),
        ({"created[gte]": "yesterday"}, "created[gte]"),
        ({"starting_after": "ch_unknown"}, "starting_after"),
        ({"ending_before": "ch_unknown"}, "ending_before"),
        ({"expand[]": "data.nonsense"}, "expand"),
        ({"expand": "data.refunds"}, "expand"),
        ({"expand[]": "refunds"}, "expand"),
        ({"updated[gte]": 5}, "updated"),
        ([("created", "5"), ("created[gte]", "5")], "created"),
    ],
)
def test_a_wrong_list_parameter_is_refused(stripe, params, param):
    assert error_of(stripe.get("/v1/charges", params))[0:4:3] == (400, param)


def test_refunds_are_absent_unless_expanded(stripe):
    payment = stripe.pay()
    refunds = [stripe.refund(payment, amount=10).data["id"] for _ in range(12)]
    path = f"/v1/charges/{payment.id}"
    assert "refunds" not in stripe.get(path).data
    expanded = stripe.get(path, {"expand[]": "refunds"}).data["refunds"]
    assert [row["id"] for row in expanded["data"]] == refunds[:1:-1]
    assert expanded["has_more"]
    (listed,) = stripe.get("/v1/charges", {"expand[0]": "data.refunds"}).data["data"]
    assert listed["refunds"] == expanded


def test_other_expansions(stripe):
    payment = stripe.pay(payer_email="ada@example.com", payer_name="Ada")
    fields = ("balance_transaction", "customer", "payment_intent")
    expand = {f"expand[{place}]": name for place, name in enumerate(fields)}
    charge = stripe.get(f"/v1/charges/{payment.id}", expand).data
    assert charge["balance_transaction"]["fee"] == 10_000 * 29 // 1_000 + 30
    assert charge["customer"]["email"] == "ada@example.com"
    assert charge["payment_intent"]["latest_charge"] == payment.id
    fields = ("charge", "payment_intent", "balance_transaction")
    expand = {f"expand[{place}]": name for place, name in enumerate(fields)}
    refund = stripe.refund(payment, **expand).data
    assert refund["charge"]["amount_refunded"] == 10_000
    assert refund["payment_intent"]["status"] == "succeeded"
    assert refund["balance_transaction"]["amount"] == -10_000
    transaction = stripe.get(f"/v1/balance_transactions/txn_{refund['id'][3:]}").data
    assert (transaction["net"], transaction["source"]) == (-10_000, refund["id"])
    assert stripe.get("/v1/balance_transactions/txn_unknown").status == 404


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"wallet": "apple_pay"}, "card"),
        ({"wallet": "google_pay", "brand": "mastercard"}, "card"),
        ({"method_type": "bank", "brand": "sepa"}, "sepa_debit"),
        ({"method_type": "bank", "brand": "ach"}, "us_bank_account"),
        ({"method_type": "wallet", "wallet": "paypal", "last4": ""}, "paypal"),
        ({"payer_name": None, "payer_email": None, "last4": ""}, "card"),
        ({"payer_name": "محمد العلي"}, "card"),
    ],
)
def test_how_it_was_paid(stripe, values, kind):
    payment = stripe.pay(**values)
    charge = stripe.get(f"/v1/charges/{payment.id}").data
    assert charge["payment_method_details"]["type"] == kind
    assert charge["billing_details"]["name"] == payment.payer_name
    if payment.wallet and kind == "card":
        assert charge["payment_method_details"]["card"]["wallet"]["type"] == payment.wallet


def test_payment_intents_follow_the_payment(stripe):
    statuses = {
        "authorized": "requires_capture",
        "captured": "processing",
        "settled": "succeeded",
        "failed": "requires_payment_method",
    }
    for status, wanted in statuses.items():
        payment = stripe.pay(status=status)
        intent_id = payment.id.replace("ch_", "pi_")
        intent = stripe.get(f"/v1/payment_intents/{intent_id}", {"expand[]": "latest_charge"}).data
        assert (intent["status"], intent["latest_charge"]["id"]) == (wanted, payment.id)
    assert len(walk(stripe, "/v1/payment_intents", limit=3)) == 4
    assert stripe.get("/v1/payment_intents/pi_unknown").status == 404
    assert stripe.get("/v1/payment_intents/ch_no_intent").status == 404


def test_charges_of_an_intent_or_a_customer(stripe):
    mine = stripe.pay(payer_email="ada@example.com")
    stripe.pay(payer_email="bob@example.com")
    customer = stripe.get(f"/v1/charges/{mine.id}").data["customer"]
    assert ids(stripe.get("/v1/charges", {"customer": customer})) == [mine.id]
    intent_id = mine.id.replace("ch_", "pi_")
    assert ids(stripe.get("/v1/charges", {"payment_intent": intent_id})) == [mine.id]
    assert ids(stripe.get("/v1/charges", {"payment_intent": "pi_unknown"})) == []


def test_refunds_of_a_charge(stripe):
    payment, other = stripe.pay(), stripe.pay()
    mine = [stripe.refund(payment, amount=10).data["id"] for _ in range(5)]
    stripe.refund(other, amount=10)
    assert walk(stripe, "/v1/refunds", charge=payment.id, limit=2) == mine[::-1]
    intent_id = payment.id.replace("ch_", "pi_")
    assert walk(stripe, "/v1/refunds", payment_intent=intent_id) == mine[::-1]
    assert len(walk(stripe, "/v1/refunds", limit=4)) == 6
    assert error_of(stripe.get("/v1/refunds", {"charge": "ch_unknown"}))[0] == 404
    assert stripe.get("/v1/refunds/re_unknown").status == 404


def test_disputes(stripe):
    payments = {kind: stripe.pay(dispute=kind) for kind in ("inquiry", "open", "chargeback")}
    stripe.pay()
    statuses = {"inquiry": "warning_needs_response", "open": "needs_response", "chargeback": "lost"}
    assert len(walk(stripe, "/v1/disputes", limit=2)) == 3
    for kind, payment in payments.items():
        (dispute,) = stripe.get("/v1/disputes", {"charge": payment.id}).data["data"]
        assert dispute["status"] == statuses[kind]
        assert dispute["is_charge_refundable"] == (kind == "inquiry")
        assert stripe.get(f"/v1/disputes/{dispute['id']}").data == dispute
        assert stripe.get(f"/v1/charges/{payment.id}").data["disputed"]
    intent_id = payments["open"].id.replace("ch_", "pi_")
    assert len(ids(stripe.get("/v1/disputes", {"payment_intent": intent_id}))) == 1
    assert ids(stripe.get("/v1/disputes", {"charge": "ch_unknown"})) == []
    assert stripe.get("/v1/disputes/dp_unknown").status == 404


def test_events_name_the_key_of_the_request(stripe):
    payment, key = stripe.pay(), new_key()
    refund = stripe.refund(payment, amount=100, key=key).data
    (event,) = stripe.get("/v1/events", {"type": "refund.created"}).data["data"]
    assert event["request"]["idempotency_key"] == key
    assert event["data"]["object"]["id"] == refund["id"]
    assert stripe.get(f"/v1/events/{event['id']}").data == event
    kinds = [row["type"] for row in stripe.get("/v1/events").data["data"]]
    assert kinds == [
        "charge.refunded",
        "refund.created",
        "payment_intent.succeeded",
        "charge.succeeded",
    ]
    two = {"types[0]": "refund.*", "types[1]": "charge.refunded", "limit": 1}
    assert stripe.get("/v1/events", two).data["has_more"]
    assert stripe.get("/v1/events/evt_unknown").status == 404
    many = {f"types[{number}]": "x" for number in range(21)}
    assert error_of(stripe.get("/v1/events", many))[3] == "types"


def test_events_are_kept_for_30_days(sandbox, stripe):
    stripe.pay()
    sandbox.clock.advance(timedelta(days=31))
    assert stripe.get("/v1/events").data["data"] == []


def test_pages_of_100(stripe):
    for number in range(300):
        stripe.pay(age=timedelta(minutes=number))
    assert len(set(walk(stripe, "/v1/charges", limit=100))) == 300
