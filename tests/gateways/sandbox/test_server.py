"""Sockets: keep-alive, limits, the request log, and stopping."""

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from gateways.sandbox.server import MAX_BODY, SandboxServer
from tests.waiting import wait_until

from .merchants import Stripe


def connect(sandbox):
    address = urlsplit(sandbox.url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


def test_a_connection_serves_many_requests(stripe):
    own = []
    for _ in range(5):
        assert stripe.get("/v1/balance").status == 200
        own.append(stripe.connection.sock.getsockname())
    assert len(set(own)) == 1


def test_answers_say_how_long_they_are(stripe):
    answer = stripe.get("/v1/balance")
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert answer.headers["Date"].endswith("GMT")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"Content-Length: {MAX_BODY + 1}", 413),
        ("Content-Length: many", 400),
        ("Content-Length: -5", 400),
        ("Transfer-Encoding: chunked", 411),
    ],
)
def test_a_body_without_a_proper_length_is_refused(sandbox, head, status):
    with connect(sandbox) as connection:
        connection.sendall(
            f"POST /stripe/v1/refunds HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode()
        )
        answer = connection.recv(65_536)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in answer


def test_half_a_body_asks_for_nothing(sandbox, stripe):
    payment = stripe.pay()
    head = "POST /stripe/v1/refunds HTTP/1.1\r\nAuthorization: Bearer sk_test_sandbox_main\r\n"
    with connect(sandbox) as connection:
        connection.sendall(f"{head}Content-Length: 99\r\n\r\ncharge={payment.id}".encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65_536) == b""
    assert sandbox.ledger.refunds_of(payment) == []


def test_nonsense_on_the_wire_harms_nobody(sandbox, stripe):
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\r\n\r\n"):
        with connect(sandbox) as connection:
            connection.sendall(nonsense)
    assert stripe.get("/v1/balance").status == 200


def test_an_address_of_nobody(stripe):
    stripe.prefix = ""
    answer = stripe.send("GET", "/elsewhere")
    assert (answer.status, "dialects" in answer.data["error"]) == (404, True)
    assert stripe.send("GET", "/stripe").status == 404


def test_the_log_keeps_requests_without_secrets(sandbox, stripe, control):
    payment = stripe.pay()
    stripe.refund(payment, amount=100, key="key-of-this-test")
    stripe.post("/v1/refunds", {"client_secret": "hush", "charge": "ch_1"})
    first, second = control("/ledger?dialect=stripe")["requests"]
    assert (first["call"], first["method"], first["status"]) == ("refund", "POST", 200)
    assert first["path"] == "/stripe/v1/refunds"
    assert f"charge={payment.id}" in first["body"]
    assert first["headers"]["idempotency-key"] == "key-of-this-test"
    assert "sk_test" not in json.dumps(first)
    assert "hush" not in json.dumps(second)


def test_the_log_says_which_fault_was_armed(stripe, control):
    control("/faults", {"what": "403"})
    stripe.get("/v1/balance")
    assert control("/ledger")["requests"][-1]["fault"] == "403 before"


def test_many_connections_at_once(sandbox):
    def ask(_number):
        merchant = Stripe(sandbox)
        try:
            return merchant.get("/v1/balance").status
        finally:
            merchant.close()

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(ask, range(200))) == {200}


def test_stopping_ends_silent_and_idle_connections():
    server = SandboxServer().start()
    idle, silent = Stripe(server), Stripe(server)
    idle.get("/v1/balance")
    server.faults.arm({"what": "silence", "when": "before"})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(silent.get, "/v1/balance")
        wait_until(lambda: not server.faults.as_json())
        server.stop()
        assert isinstance(waiting.exception(10), ConnectionError | http.client.HTTPException)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        idle.send("GET", "/v1/balance")


def test_a_taken_port_is_an_error(sandbox):
    port = urlsplit(sandbox.url).port
    with pytest.raises(OSError, match="in use"):
        SandboxServer(port=port)


def test_a_reset_begins_anew(sandbox, stripe, control):
    stripe.refund(stripe.pay(), amount=100)
    control("/faults", {"what": "403"})
    control("/clock", {"advance_seconds": 1_000})
    control("/accounts", {"account": "stripe-main", "balance": {}})
    assert control("/reset", {"seed": 3, "payments": 60}) == {"payments": 62}
    known = control("/ledger")
    assert len(known["payments"]) == 62
    assert control("/faults")["faults"] == []
    assert sandbox.clock.offset.total_seconds() == 0
    assert stripe.account.settings.balance is None
