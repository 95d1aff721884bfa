"""What NMI's query shows, filters and pages."""

from datetime import timedelta

import pytest

from .wire import Nmi, ids, pass_cutoff, pay


@pytest.fixture
def account(sandbox):
    return sandbox.ledger.accounts["nmi-main"]


@pytest.fixture
def merchant(sandbox, account):
    return Nmi(sandbox, account)


def actions(root, transaction_id):
    """(type, amount, success) of each action of a transaction."""
    entry = next(
        entry
        for entry in root.iter("transaction")
        if entry.findtext("transaction_id") == transaction_id
    )
    return [
        (action.findtext("action_type"), action.findtext("amount"), action.findtext("success"))
        for action in entry.iter("action")
    ]


def stamp(moment):
    return f"{moment:%Y%m%d%H%M%S}"


def test_nothing_found_is_an_empty_answer(merchant):
    root = merchant.query(transaction_id="1")
    assert len(root) == 0
    assert root.find("error_response") is None


def test_a_settled_card_payment(sandbox, account, merchant):
    payment = pay(
        sandbox,
        account,
        major="12.50",
        currency="GBP",
        payer_name="Żaneta <O'Brien> & Łukasz 山田",
        payer_email="z@example.com",
        order_reference="SO & 1",
        description="Lamp <green>",
    )
    root = merchant.query(transaction_id=payment.id)
    entry = root.find("transaction")
    shown = {field.tag: field.text or "" for field in entry if field.tag != "action"}
    assert shown["condition"] == "complete"
    assert shown["transaction_type"] == "cc"
    assert (shown["first_name"], shown["last_name"]) == ("Żaneta", "<O'Brien> & Łukasz 山田")
    assert (shown["order_id"], shown["order_description"]) == ("SO & 1", "Lamp <green>")
    assert (shown["email"], shown["currency"]) == ("z@example.com", "GBP")
    assert (shown["cc_number"], shown["cc_type"]) == ("4xxxxxxxxxxx1111", "visa")
    assert shown["check_account"] == shown["ponumber"] == ""
    assert actions(root, payment.id) == [("sale", "12.50", "1"), ("settle", "12.50", "1")]
    sale, settle = entry.findall("action")
    assert sale.findtext("date") == stamp(payment.created_at)
    assert (sale.findtext("source"), settle.findtext("source")) == ("api", "internal")
    assert settle.findtext("batch_id").isdigit()


@pytest.mark.parametrize(
    ("facts", "condition", "kinds"),
    [
        ({"status": "authorized"}, "pending", ["auth"]),
        ({"status": "captured"}, "pendingsettlement", ["sale"]),
        ({"status": "voided"}, "canceled", ["sale"]),
        ({"status": "failed"}, "failed", ["sale"]),
        ({"dispute": "chargeback"}, "complete", ["sale", "settle", "return"]),
        ({"status": "failed", "extra": {"processor_status": "unknown"}}, "unknown", ["sale"]),
    ],
)
def test_conditions(sandbox, account, merchant, facts, condition, kinds):
    payment = pay(sandbox, account, **facts)
    root = merchant.query(transaction_id=payment.id)
    assert root.findtext("transaction/condition") == condition
    shown = actions(root, payment.id)
    assert [kind for kind, _, _ in shown] == kinds
    assert shown[0][2] == ("0" if facts.get("status") == "failed" else "1")


def test_a_void_is_an_action_on_the_original(sandbox, account, merchant):
    payment = pay(sandbox, account, status="captured", major="10.00")
    merchant.void(payment.id)
    assert actions(merchant.query(), payment.id)[-1] == ("void", "10.00", "1")
    account.settings.void_shows_success = False
    assert actions(merchant.query(), payment.id)[-1] == ("void", "10.00", None)


def test_a_bank_payment(sandbox, account, merchant):
    payment = pay(sandbox, account, method_type="bank", brand="ach", last4="6789")
    entry = merchant.query(transaction_type="ck").find("transaction")
    assert entry.findtext("transaction_id") == payment.id
    assert entry.findtext("check_account") == "xxxxx6789"
    assert entry.findtext("cc_number") == ""


def test_shape_a_a_refund_is_a_transaction_without_a_link(sandbox, account, merchant):
    payment = pay(sandbox, account, major="100.00")
    refund_id = merchant.refund(payment, "1.50", orderid="REF1")["transactionid"]
    root = merchant.query()
    assert ids(root) == [payment.id, refund_id] or ids(root) == [refund_id, payment.id]
    assert actions(root, refund_id) == [("refund", "-1.50", "1")]
    refund = merchant.query(order_id="REF1", action_type="refund").find("transaction")
    assert refund.findtext("condition") == "pendingsettlement"
    assert payment.id not in [field.text for field in refund.iter()]
    pass_cutoff(sandbox)
    root = merchant.query(transaction_id=refund_id)
    assert root.findtext("transaction/condition") == "complete"
    assert actions(root, refund_id) == [("refund", "-1.50", "1"), ("settle", "-1.50", "1")]


def test_a_voided_refund_is_canceled(sandbox, account, merchant):
    refund_id = merchant.refund(pay(sandbox, account), "1.50")["transactionid"]
    merchant.void(refund_id)
    root = merchant.query(transaction_id=refund_id)
    assert root.findtext("transaction/condition") == "canceled"
    assert actions(root, refund_id)[-1] == ("void", "-1.50", "1")


def test_shape_b_a_refund_is_an_action_on_the_original(sandbox, account, merchant):
    account.settings.refund_shape = "B"
    payment = pay(sandbox, account, major="100.00")
    merchant.refund(payment, "1.50", orderid="REF1")
    refund_id = merchant.refund(payment, "2.50", orderid="REF2")["transactionid"]
    root = merchant.query()
    assert ids(root) == [payment.id]
    assert actions(root, payment.id)[2:] == [("refund", "1.50", "1"), ("refund", "2.50", "1")]
    assert ids(merchant.query(action_type="refund")) == [payment.id]
    assert ids(merchant.query(order_id="REF1")) == []
    assert ids(merchant.query(transaction_id=f"{refund_id},{payment.id}")) == [payment.id]


def test_new_refunds_can_be_missing_for_a_while(sandbox, account, merchant):
    account.settings.lookup_lag_seconds = 60
    payment = pay(sandbox, account)
    merchant.refund(payment, "1.50", orderid="REF1")
    assert ids(merchant.query(order_id="REF1")) == []
    account.settings.refund_shape = "B"
    assert [kind for kind, _, _ in actions(merchant.query(), payment.id)] == ["sale", "settle"]
    sandbox.clock.advance(timedelta(seconds=61))
    assert actions(merchant.query(), payment.id)[-1] == ("refund", "1.50", "1")
    account.settings.refund_shape = "A"
    assert len(ids(merchant.query(order_id="REF1"))) == 1


def test_dates_filter_by_the_last_change(sandbox, account, merchant):
    old = pay(sandbox, account, days_ago=40)
    new = pay(sandbox, account, days_ago=5)
    now = sandbox.clock.now()

    def between(days, until):
        start, end = now - timedelta(days=days), now - timedelta(days=until)
        return ids(merchant.query(start_date=stamp(start), end_date=stamp(end)))

    assert between(50, 30) == [old.id]
    assert between(30, 0) == [new.id]
    refund_id = merchant.refund(old, "1.00")["transactionid"]
    since = stamp(now - timedelta(minutes=1))
    assert set(ids(merchant.query(start_date=since))) == {old.id, refund_id}
    assert between(50, 30) == []


def test_both_dates_are_included_to_the_second(sandbox, account, merchant):
    payment = pay(sandbox, account)
    moment = payment.created_at.replace(microsecond=0)
    exact = {"start_date": stamp(moment), "end_date": stamp(moment)}
    assert ids(merchant.query(**exact)) == [payment.id]
    later = {"start_date": stamp(moment + timedelta(seconds=1))}
    assert ids(merchant.query(**later)) == []


def test_filters(sandbox, account, merchant):
    ada = pay(
        sandbox,
        account,
        order_reference="SO-1",
        payer_name="Ada King Lovelace",
        payer_email="ada@example.com",
    )
    bob = pay(sandbox, account, status="captured", last4="4444", brand="mastercard")
    everything = {ada.id, bob.id}

    def found(**fields):
        return set(ids(merchant.query(**fields)))

    assert found(transaction_id=f"{ada.id}, {bob.id}") == everything
    assert ids(merchant.query(transaction_id=f"{bob.id},{ada.id}", result_limit="1")) == [ada.id]
    assert found(transaction_id=ada.id, end_date="20200101000000") == set()
    assert found(transaction_id=f"{ada.id},{bob.id}", condition="complete") == {ada.id}
    assert found(order_id="SO-1") == {ada.id}
    assert found(condition="pendingsettlement,pending") == {bob.id}
    assert found(condition="complete,pendingsettlement") == everything
    assert found(action_type="sale") == everything
    assert found(action_type="refund,void") == set()
    assert found(source="internal") == {ada.id}
    assert found(transaction_type="cc") == everything
    assert found(cc_number="4444") == {bob.id}
    assert found(cc_number="5105105105104444") == {bob.id}
    assert found(cc_number="444") == set()
    assert found(first_name="Ada", last_name="King Lovelace") == {ada.id}
    assert found(email="ada@example.com") == {ada.id}
    assert found(first_name="Ada", email="bob@example.com") == set()


@pytest.mark.parametrize("filtered", [{}, {"action_type": "sale"}])
@pytest.mark.parametrize("first_page", [0, 1])
def test_pages(sandbox, account, merchant, filtered, first_page):
    account.settings.first_page = first_page
    paid = [pay(sandbox, account, days_ago=9 - number).id for number in range(7)]
    pages = [
        ids(merchant.query(result_limit="3", page_number=str(first_page + page), **filtered))
        for page in range(4)
    ]
    assert pages == [paid[:3], paid[3:6], paid[6:], []]
    assert ids(merchant.query(result_limit="3", page_number="0", **filtered)) == paid[:3]
    assert ids(merchant.query(result_limit="2", result_order="reverse", **filtered)) == [
        paid[6],
        paid[5],
    ]
    assert ids(merchant.query(**filtered)) == paid


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("condition", "done"),
        ("action_type", "sale,nonsense"),
        ("transaction_type", "card"),
        ("result_order", "newest"),
        ("start_date", "2025-01-01"),
        ("start_date", "20251301000000"),
        ("end_date", "x"),
        ("result_limit", "-1"),
        ("result_limit", "0"),
        ("page_number", "x"),
        ("report_type", "customer_vault"),
    ],
)
def test_a_value_that_cannot_be_is_an_error(merchant, name, value):
    fields = {"result_limit": "10"} if name == "page_number" else {}
    root = merchant.query(**{**fields, name: value})
    assert root.findtext("error_response").startswith(f"Invalid {name} REFID:")
    assert root.find("transaction") is None


def test_a_field_that_it_does_not_know_is_an_error_not_an_unfiltered_list(merchant):
    root = merchant.query(orderid="X")
    assert root.findtext("error_response").startswith("Unsupported field orderid REFID:")


def test_the_profile_names_the_merchant(merchant):
    root = merchant.query(report_type="profile")
    assert root.findtext("merchant/company") == "nmi-main"
    assert root.find("processor") is None
    root = merchant.query(report_type="profile", processor_details="true")
    assert [element.text for element in root.iter("currency")] == ["USD", "GBP"]
    assert merchant.query(report_type="test_mode_status").findtext("test_mode_enabled") == "false"


def test_control_characters_do_not_break_the_xml(sandbox, account, merchant):
    answer = merchant.refund(pay(sandbox, account), "1.00", orderid="A\x00\x01B😀")
    root = merchant.query(transaction_id=answer["transactionid"])
    assert root.findtext("transaction/order_id") == "AB😀"
