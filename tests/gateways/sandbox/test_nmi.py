"""Refunds and voids at NMI, which protects nobody from asking twice."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateways.sandbox.http import Request
from gateways.sandbox.ledger import SandboxAccount
from gateways.sandbox.nmi import NmiDialect
from gateways.sandbox.nmi_transactions import _MAGIC

from .wire import Nmi, ids, pass_cutoff, pay, send

FORM = "application/x-www-form-urlencoded"
KEY = "sandbox-nmi-main-key"
TOO_MUCH = "Refund amount may not exceed the transaction balance"
NOT_VOIDABLE = "Only transactions pending settlement can be voided"


@pytest.fixture
def account(sandbox):
    return sandbox.ledger.accounts["nmi-main"]


@pytest.fixture
def merchant(sandbox, account):
    return Nmi(sandbox, account)


def outcome(answer):
    """(response, response_code, text without its REFID)."""
    text = re.sub(r" REFID:[0-9]+$", "", answer["responsetext"])
    return answer["response"], answer["response_code"], text


def rejected(text):
    return "3", "300", text


def test_a_refund_answers_with_every_field(sandbox, account, merchant):
    payment = pay(sandbox, account, order_reference="SO-1")
    answer = merchant.refund(payment, "12.50", orderid="REF1")
    refund_id = answer["transactionid"]
    assert refund_id not in ("", payment.id)
    assert answer == {
        "response": "1",
        "responsetext": "SUCCESS",
        "authcode": "",
        "transactionid": refund_id,
        "avsresponse": "",
        "cvvresponse": "",
        "orderid": "REF1",
        "type": "refund",
        "response_code": "100",
    }
    refund = sandbox.ledger.refunds[refund_id]
    assert (refund.amount_minor, refund.status, refund.reference) == (1250, "pending", "REF1")


def test_errors_end_with_another_refid_each_time(sandbox, account, merchant):
    payment = pay(sandbox, account)
    texts = {merchant.refund(payment, "999.00")["responsetext"] for _ in range(5)}
    assert len(texts) == 5
    assert all(re.fullmatch(rf"{TOO_MUCH} REFID:[0-9]+", text) for text in texts)


@pytest.mark.parametrize("fields", [{}, {"amount": "0.00"}, {"amount": ""}])
def test_without_an_amount_everything_that_is_left_goes_back(sandbox, account, merchant, fields):
    payment = pay(sandbox, account, major="100.00")
    merchant.refund(payment, "30.00")
    answer = merchant.transact(type="refund", transactionid=payment.id, **fields)
    assert sandbox.ledger.refunds[answer["transactionid"]].amount_minor == 7000
    again = merchant.transact(type="refund", transactionid=payment.id, **fields)
    assert outcome(again) == rejected(TOO_MUCH)


def test_the_balance_is_kept_and_nothing_else(sandbox, account, merchant):
    payment = pay(sandbox, account, major="100.00")
    for _ in range(2):  # the same order id twice: two refunds
        assert merchant.refund(payment, "40.00", orderid="SAME")["response"] == "1"
    assert outcome(merchant.refund(payment, "20.01", orderid="SAME")) == rejected(TOO_MUCH)
    assert merchant.refund(payment, "20.00", orderid="SAME")["response"] == "1"
    assert sandbox.ledger.refunded_minor(payment) == 10_000
    assert outcome(merchant.refund(payment, "0.01")) == rejected(TOO_MUCH)


@pytest.mark.parametrize(
    "amount", ["-1.00", "1", "1.0", "1.005", "1,00", "1e2", " 1.00", "$1.00", "x", "12345678901.00"]
)
def test_an_amount_that_is_none_is_refused(sandbox, account, merchant, amount):
    assert outcome(merchant.refund(pay(sandbox, account), amount)) == rejected("Invalid amount")
    assert sandbox.ledger.refunds == {}


def test_yen_have_two_decimals_here(sandbox, merchant, account):
    payment = pay(sandbox, account, major="1500", currency="JPY")
    assert outcome(merchant.refund(payment, "100")) == rejected("Invalid amount")
    assert outcome(merchant.refund(payment, "100.50")) == rejected("Invalid amount")
    refund_id = merchant.refund(payment, "100.00")["transactionid"]
    assert sandbox.ledger.refunds[refund_id].amount_minor == 100
    listed = merchant.query(transaction_id=refund_id)
    assert listed.findtext("transaction/action/amount") == "-100.00"


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"status": "captured"}, "Only settled transactions can be refunded"),
        ({"status": "authorized"}, TOO_MUCH),
        ({"status": "voided"}, TOO_MUCH),
        ({"status": "failed"}, TOO_MUCH),
    ],
)
def test_only_what_was_settled_can_be_refunded(sandbox, account, merchant, facts, text):
    payment = pay(sandbox, account, **facts)
    assert outcome(merchant.refund(payment, "1.00")) == rejected(text)
    assert sandbox.ledger.refunds == {}


def test_some_processors_refund_before_settlement(sandbox, account, merchant):
    account.settings.refund_before_settlement = True
    payment = pay(sandbox, account, status="captured")
    assert merchant.refund(payment, "1.00")["response"] == "1"
    assert outcome(merchant.void(payment.id)) == rejected(NOT_VOIDABLE)


@pytest.mark.parametrize(
    ("transaction_id", "text"),
    [
        ("", "Invalid Transaction ID / Object ID specified"),
        ("abc", "Invalid Transaction ID / Object ID specified"),
        ("١٢٣", "Invalid Transaction ID / Object ID specified"),
        ("4242424242", "Transaction not found"),
    ],
)
@pytest.mark.parametrize("kind", ["refund", "void"])
def test_the_original_must_be_there(merchant, kind, transaction_id, text):
    answer = merchant.transact(type=kind, transactionid=transaction_id, amount="1.00")
    assert outcome(answer) == rejected(text)


def test_accounts_do_not_see_each_other(sandbox, account, merchant):
    other = SandboxAccount("nmi-two", "nmi", {"security_key": "key-two"}, ("USD",))
    sandbox.ledger.add_account(other)
    payment = pay(sandbox, account)
    stranger = Nmi(sandbox, other)
    assert outcome(stranger.refund(payment, "1.00")) == rejected("Transaction not found")
    assert ids(stranger.query()) == []
    assert ids(merchant.query()) == [payment.id]


def test_a_bank_payment_must_be_named_as_one(sandbox, account, merchant):
    bank = pay(sandbox, account, method_type="bank", brand="ach", last4="6789")
    card = pay(sandbox, account)
    wrong = rejected("Invalid Transaction ID specified")
    assert outcome(merchant.refund(bank, "1.00")) == wrong
    assert outcome(merchant.refund(card, "1.00", payment="check")) == wrong
    assert merchant.refund(bank, "1.00", payment="check")["response"] == "1"
    assert merchant.refund(card, "1.00", payment="creditcard")["response"] == "1"


def test_the_order_id_is_stored_inherited_or_blank(sandbox, account, merchant):
    payment = pay(sandbox, account, order_reference="SO-7")

    def refund_with(**fields):
        answer = merchant.refund(payment, "1.00", **fields)
        stored = merchant.query(transaction_id=answer["transactionid"])
        return answer["orderid"], stored.findtext("transaction/order_id")

    assert refund_with(orderid="REF & 1") == ("REF & 1", "REF & 1")
    assert refund_with() == ("SO-7", "SO-7")
    assert refund_with(orderid="") == ("", "")
    account.settings.refund_keeps_order_id = False
    assert refund_with(orderid="REF2") == ("SO-7", "SO-7")


def test_switching_duplicate_checks_off_is_refused(sandbox, account, merchant):
    answer = merchant.refund(pay(sandbox, account), "1.00", dup_seconds="0")
    text = "Disabling Duplicate Check is not allowed for this processor"
    assert outcome(answer) == rejected(text)


def test_a_void_keeps_the_id_and_cancels_the_whole_payment(sandbox, account, merchant):
    payment = pay(sandbox, account, status="captured", order_reference="SO-1")
    answer = merchant.void(payment.id)
    assert outcome(answer) == ("1", "100", "Transaction Void Successful")
    assert (answer["transactionid"], answer["type"], answer["orderid"]) == (
        payment.id,
        "void",
        "SO-1",
    )
    assert merchant.query().findtext("transaction/condition") == "canceled"
    again = merchant.void(payment.id)
    assert outcome(again) == rejected(NOT_VOIDABLE)
    assert again["transactionid"] == payment.id


@pytest.mark.parametrize("status", ["settled", "failed", "voided"])
def test_only_what_waits_can_be_voided(sandbox, account, merchant, status):
    payment = pay(sandbox, account, status=status)
    assert outcome(merchant.void(payment.id)) == rejected(NOT_VOIDABLE)
    assert payment.status == status


def test_a_refund_that_waits_can_be_voided(sandbox, account, merchant):
    payment = pay(sandbox, account)
    refund_id = merchant.refund(payment, "100.00")["transactionid"]
    assert merchant.void(refund_id)["response"] == "1"
    assert sandbox.ledger.refunded_minor(payment) == 0
    assert outcome(merchant.void(refund_id)) == rejected(NOT_VOIDABLE)
    assert merchant.refund(payment, "100.00")["response"] == "1"


def test_a_settled_refund_cannot_be_voided(sandbox, account, merchant):
    refund_id = merchant.refund(pay(sandbox, account), "1.00")["transactionid"]
    pass_cutoff(sandbox)
    assert outcome(merchant.void(refund_id)) == rejected(NOT_VOIDABLE)


@pytest.mark.parametrize("kind", ["sale", "credit", "capture", ""])
def test_takes_no_money(sandbox, account, merchant, kind):
    answer = merchant.transact(type=kind, amount="1.00", ccnumber="4111111111111111", ccexp="1230")
    assert outcome(answer) == rejected("Invalid Transaction Type")
    assert answer["type"] == kind
    assert sandbox.ledger.payments == {}


@pytest.mark.parametrize("key", ["", "wrong", KEY.upper()])
def test_a_wrong_key_opens_nothing(sandbox, account, merchant, key):
    payment = pay(sandbox, account)
    answer = merchant.transact(
        security_key=key, type="refund", transactionid=payment.id, amount="1.00"
    )
    assert outcome(answer) == rejected("Authentication Failed")
    error = merchant.query(security_key=key).findtext("error_response")
    assert re.fullmatch("Invalid Security Key REFID:[0-9]+", error)
    assert sandbox.ledger.refunds == {}


def test_the_key_counts_only_in_the_body_of_a_form_post(sandbox, account):
    payment = pay(sandbox, account)
    fields = {
        "security_key": KEY,
        "type": "refund",
        "transactionid": payment.id,
        "amount": "1.00",
    }
    form = urlencode(fields)
    attempts = [
        send(sandbox, f"/nmi/api/transact.php?{form}", None, method="GET"),
        send(sandbox, f"/nmi/api/transact.php?{form}", "", content_type=FORM),
        send(sandbox, "/nmi/api/transact.php", form, content_type="application/json"),
    ]
    assert [status for status, _, _ in attempts] == [200, 200, 200]
    assert all(b"Authentication Failed" in body for _, _, body in attempts)
    status, _, body = send(sandbox, f"/nmi/api/query.php?{form}", None, method="GET")
    assert (status, b"Invalid Security Key" in body) == (200, True)
    assert sandbox.ledger.refunds == {}


def test_nothing_is_elsewhere(sandbox):
    status, _, _ = send(sandbox, "/nmi/api/v5/payments", "", content_type=FORM)
    assert status == 404


@pytest.mark.parametrize(("number", "code"), _MAGIC.items())
def test_amounts_that_end_so_bring_back_codes(sandbox, account, merchant, number, code):
    payment = pay(sandbox, account, major="100.00")
    answer = merchant.refund(payment, f"1{number / 100:.2f}", orderid="REF1")
    assert answer["response_code"] == code
    assert answer["response"] == ("2" if code.startswith("2") else "3")
    executed = ids(merchant.query(order_id="REF1"))
    assert len(executed) == (1 if code == "421" else 0)
    assert executed == list(sandbox.ledger.refunds)


def test_test_mode_declines_less_than_one(sandbox, account, merchant):
    payment = pay(sandbox, account)
    assert merchant.refund(payment, "0.99")["response"] == "1"
    account.settings.test_mode = True
    assert outcome(merchant.refund(payment, "0.99")) == ("2", "200", "DECLINE")
    assert merchant.refund(payment, "1.00")["response"] == "1"
    status = merchant.query(report_type="test_mode_status")
    assert status.findtext("test_mode_enabled") == "true"


def test_names_its_calls_for_faults(sandbox):
    dialect = sandbox.dialect_at("/nmi/api/transact.php")

    def name_of(path, **fields):
        return dialect.call_name(Request("POST", path, [], {}, urlencode(fields).encode()))

    transact, query = "/api/transact.php", "/api/query.php"
    assert name_of(transact, type="refund") == "refund"
    assert name_of(transact, type="void") == "void"
    assert name_of(transact, type="sale") == "other"
    assert name_of(query, report_type="profile") == "check_credentials"
    assert name_of(query, transaction_id="1") == "get_payment"
    assert name_of(query, order_id="R", action_type="refund") == "get_refund"
    assert name_of(query, action_type="refund") == "list_refunds"
    assert name_of(query) == "list_payments"
    assert name_of("/api/other") == "other"


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_faults_in_front_of_it_are_plain_http(sandbox, status):
    reply = sandbox.dialect_at("/nmi/").refusal(status)
    assert reply.status == status
    assert str(status).encode() in reply.body


def test_every_refusal_can_be_asked_for_by_its_code(sandbox):
    dialect = sandbox.dialect_at("/nmi/")
    for code in ("200", "202", "300", "301", "400", "420", "421", "430", "461"):
        assert dialect.refusal_with(code).body.endswith(f"response_code={code}".encode())
    assert dialect.refusal_with("100") is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/api/transact.php", "/api/query.php"]),
    junk=st.binary(max_size=100),
    fields=st.dictionaries(
        st.sampled_from("type transactionid amount orderid start_date page_number".split()),
        st.text(max_size=20),
    ),
)
def test_nonsense_is_answered_in_the_processors_own_words(sandbox, path, junk, fields):
    body = junk + b"&" + urlencode({**fields, "security_key": KEY}, errors="replace").encode()
    reply = sandbox.dialect_at("/nmi/").handle(
        Request("POST", path, [], {"content-type": FORM}, body)
    )
    assert reply.status == 200
    if path == "/api/query.php":
        assert etree.fromstring(reply.body).tag == "nm_response"
    else:
        assert reply.body.startswith(b"response=3&responsetext=")


def test_is_one_of_the_four(sandbox):
    assert isinstance(sandbox.dialect_at("/nmi/"), NmiDialect)


def test_what_a_dropped_answer_hid_is_found_by_its_order_id(sandbox, account, merchant):
    payment = pay(sandbox, account)
    sandbox.faults.arm({"dialect": "nmi", "call": "refund", "what": "reset", "when": "after"})
    with pytest.raises(ConnectionError):
        merchant.refund(payment, "5.00", orderid="LOST")
    found = merchant.query(order_id="LOST", action_type="refund")
    assert found.findtext("transaction/action/amount") == "-5.00"
    assert sandbox.ledger.refunded_minor(payment) == 500


def test_faults_change_the_echo_or_bring_a_refusal(sandbox, account, merchant):
    payment = pay(sandbox, account)
    sandbox.faults.arm({"dialect": "nmi", "call": "refund", "what": "wrong_echo"})
    answer = merchant.refund(payment, "1.00", orderid="REF7")
    assert answer["response"] == "1"
    assert answer["orderid"] == "REF8"
    sandbox.arm({"dialect": "nmi", "call": "refund", "what": "refusal", "code": "430"})
    answer = merchant.refund(payment, "2.00", orderid="REF9")
    assert answer["response_code"] == "430"
    assert sandbox.ledger.refunded_minor(payment) == 100


def test_forty_at_once_do_not_exceed_the_payment(sandbox, account, merchant):
    payment = pay(sandbox, account)
    with ThreadPoolExecutor(40) as pool:
        answers = pool.map(lambda _: merchant.refund(payment, "60.00")["response"], range(40))
        assert sorted(answers) == ["1", *["3"] * 39]
    assert sandbox.ledger.refunded_minor(payment) == 6000
