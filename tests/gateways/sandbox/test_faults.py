"""Every fault, before and after processing, over real sockets."""

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from gateways.sandbox.faults import KINDS, FaultError, Faults
from tests.waiting import wait_until

from .merchants import PayPal, Stripe, error_of, issue_of, new_key

BROKEN = (ConnectionError, http.client.HTTPException, TimeoutError)


@pytest.fixture
def arm(control):
    def order(what, when="after", **more):
        wish = {"dialect": "stripe", "call": "refund", "what": what, "when": when, **more}
        return control("/faults", wish)["fault"]

    yield order
    control("/faults", method="DELETE")


def ask(sandbox, payment, **params):
    """A refund on a connection of its own."""
    merchant = Stripe(sandbox)
    try:
        return merchant.refund(payment, amount=100, **params)
    finally:
        merchant.close()


def raw(sandbox, payment):
    """A refund as bytes: all that comes back until the other side closes."""
    body = f"charge={payment.id}&amount=100"
    head = (
        "POST /stripe/v1/refunds HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Authorization: Bearer sk_test_sandbox_main\r\nContent-Length: "
    )
    address = urlsplit(sandbox.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(f"{head}{len(body)}\r\n\r\n{body}".encode())
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def refunds(sandbox, payment):
    return len(sandbox.ledger.refunds_of(payment))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reset(sandbox, stripe, arm, when):
    payment = stripe.pay()
    arm("reset", when)
    with pytest.raises(ConnectionError):
        ask(sandbox, payment)
    assert refunds(sandbox, payment) == (when == "after")
    assert sandbox.ledger.requests[-1].status is None
    assert ask(sandbox, payment).status == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_silence_ends_when_the_faults_are_cleared(sandbox, stripe, arm, control, when):
    payment = stripe.pay()
    arm("silence", when)
    with ThreadPoolExecutor(1) as pool:
        silent = pool.submit(ask, sandbox, payment)
        wait_until(lambda: not control("/faults")["faults"])
        wait_until(lambda: refunds(sandbox, payment) == (when == "after"))
        with pytest.raises(TimeoutError):
            silent.result(0.1)
        control("/faults", method="DELETE")
        assert isinstance(silent.exception(10), BROKEN)
    assert refunds(sandbox, payment) == (when == "after")


def test_a_silence_has_a_bound(sandbox, stripe, arm):
    arm("silence", "before", seconds=0.05)
    with pytest.raises(BROKEN):
        ask(sandbox, stripe.pay())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("what", "kind"), [("500", "api_error"), ("401", "invalid_request_error")])
def test_errors_in_the_words_of_the_processor(sandbox, stripe, arm, when, what, kind):
    payment = stripe.pay()
    arm(what, when)
    assert error_of(ask(sandbox, payment))[:2] == (int(what), kind)
    assert refunds(sandbox, payment) == (when == "after")


def test_a_403_and_a_429(sandbox, stripe, arm):
    payment = stripe.pay()
    arm("403", "before")
    assert error_of(ask(sandbox, payment))[0] == 403
    arm("429", "before", seconds=7)
    answer = ask(sandbox, payment)
    assert (error_of(answer)[2], answer.headers["Retry-After"]) == ("rate_limit", "7")


def test_a_500_before_processing_is_not_stored(sandbox, stripe, arm):
    payment, key = stripe.pay(), new_key()
    arm("500", "before")
    assert ask(sandbox, payment, key=key).status == 500
    assert ask(sandbox, payment, key=key).status == 200


def test_a_page_of_a_gateway(sandbox, stripe, arm):
    payment = stripe.pay()
    for name in ("502 HTML", "502_html", "502"):
        arm(name)
        answer = raw(sandbox, payment)
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"<html>" in answer
    assert refunds(sandbox, payment) == 3


def test_a_refusal_by_its_code(sandbox, stripe, arm, control):
    payment = stripe.pay()
    arm("refusal", "before", code="charge_disputed")
    assert error_of(ask(sandbox, payment))[2] == "charge_disputed"
    assert refunds(sandbox, payment) == 0
    control("/faults", {"dialect": "paypal", "what": "refusal", "code": "DUPLICATE_INVOICE_ID"})
    merchant = PayPal(sandbox)
    merchant.token = "any"
    assert issue_of(merchant.refund(merchant.pay(), "1.00")) == (422, "DUPLICATE_INVOICE_ID")
    merchant.close()
    for wish in ({"what": "refusal", "code": "X"}, {"what": "refusal", "dialect": "stripe"}):
        assert "code" in control("/faults", wish, status=400)["error"]


def test_a_drip(sandbox, stripe, arm):
    payment = stripe.pay()
    arm("drip", seconds=0.0001)
    answer = raw(sandbox, payment)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert json.loads(body)["amount"] == 100
    assert b"Connection: close" in head


def test_a_truncated_answer_promises_more_than_it_brings(sandbox, stripe, arm):
    payment = stripe.pay()
    arm("truncated")
    with pytest.raises(http.client.IncompleteRead):
        ask(sandbox, payment)
    assert refunds(sandbox, payment) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_malformed_answer_is_cut_but_whole_to_http(sandbox, stripe, arm, when):
    payment = stripe.pay()
    arm("malformed", when)
    with pytest.raises(json.JSONDecodeError):
        assert ask(sandbox, payment).data
    assert refunds(sandbox, payment) == (when == "after")


def test_a_wrong_echo(sandbox, stripe, arm):
    payment = stripe.pay()
    arm("wrong echo")
    assert ask(sandbox, payment).data["amount"] == 101
    assert sandbox.ledger.refunds_of(payment)[0].amount_minor == 100


def test_a_wrong_echo_of_paypal(sandbox, paypal, control):
    control("/faults", {"dialect": "paypal", "call": "refund", "what": "wrong_echo"})
    assert paypal.refund(paypal.pay(), "1.99").data["amount"]["value"] == "1.90"
    control("/faults", {"dialect": "paypal", "call": "refund", "what": "wrong_echo"})
    minimal = paypal.refund(paypal.pay(), "1.99", prefer="")
    assert minimal.data["status"] == "COMPLETED"


def test_a_wrong_type(sandbox, stripe, arm):
    arm("wrong_type")
    assert ask(sandbox, stripe.pay()).headers["Content-Type"] == "text/plain"


def test_a_redirect(sandbox, stripe, arm):
    payment = stripe.pay()
    arm("redirect")
    answer = raw(sandbox, payment)
    assert answer.startswith(b"HTTP/1.1 302 ")
    assert b"Location: /_sandbox/elsewhere" in answer


def test_an_empty_200(sandbox, stripe, arm):
    payment = stripe.pay()
    arm("empty")
    answer = raw(sandbox, payment)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"Content-Length: 0\r\nConnection: close\r\n\r\n")


def test_a_huge_body(sandbox, stripe, arm):
    payment = stripe.pay()
    arm("huge", megabytes=3)
    assert len(raw(sandbox, payment)) > 3 * 2**20


def test_xml_with_entities(sandbox, stripe, arm):
    payment = stripe.pay()
    arm("dtd", "before")
    assert b"<!ENTITY" in raw(sandbox, payment)


def test_a_slow_call_is_answered_in_the_end(sandbox, stripe, control):
    control("/faults", {"call": "list_payments", "what": "slow", "seconds": 0.2})
    began = time.monotonic()
    assert stripe.get("/v1/charges").status == 200
    assert time.monotonic() - began >= 0.2


def test_faults_are_used_up_and_match_what_they_name(sandbox, stripe, arm, control):
    mine, other = stripe.pay(), stripe.pay()
    arm("403", "before", times=2, match=mine.id)
    assert ask(sandbox, other).status == 200
    assert stripe.get(f"/v1/charges/{mine.id}").status == 200
    assert [ask(sandbox, mine).status for _ in range(3)] == [403, 403, 200]
    assert control("/faults")["faults"] == []


def test_any_dialect_and_any_call(sandbox, stripe, paypal, control):
    paypal.token = paypal.fetch_token().data["access_token"]
    control("/faults", {"dialect": "*", "what": "403", "times": 2})
    assert stripe.get("/v1/balance").status == 403
    assert paypal.get("/v1/reporting/balances").status == 403
    assert stripe.get("/v1/balance").status == 200


def test_one_fault_is_disarmed_by_its_number(sandbox, stripe, arm, control):
    first, second = arm("403"), arm("500")
    assert control(f"/faults/{first['id']}", method="DELETE") == {"disarmed": 1}
    assert [fault["id"] for fault in control("/faults")["faults"]] == [second["id"]]


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({}, "`what` is one of"),
        ({"what": "explode"}, "`what` is one of"),
        ({"what": "500", "when": "during"}, "`when` is before"),
        ({"what": "500", "times": 0}, "`times` is from"),
        ({"what": "500", "times": 1.5}, "`times` is a number"),
        ({"what": "500", "times": True}, "`times` is a number"),
        ({"what": "drip", "seconds": "1"}, "`seconds` is a number"),
        ({"what": "500", "call": 5}, "`call` is text"),
        ({"what": "wrong_echo", "when": "before"}, "only come after"),
        ({"what": "500", "url": "/"}, "Unknown: url"),
    ],
)
def test_a_fault_that_means_nothing_is_refused(wish, told):
    with pytest.raises(FaultError, match=told):
        Faults().arm(wish)


def test_a_dialect_that_is_not_there(control):
    told = control("/faults", {"what": "500", "dialect": "square"}, status=400)
    assert "stripe, paypal" in told["error"]


def test_every_kind_is_explained_on_the_page(control):
    assert control("/")["faults"] == KINDS
