"""What is kept on disk, also when the process is killed."""

import json
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from gateways.sandbox.records import as_json
from gateways.sandbox.server import SandboxServer
from gateways.sandbox.state import StateFileError

from .merchants import PayPal, Stripe, new_key
from .wire import REPOSITORY


def rows(server):
    ledger = server.ledger
    return [as_json(row) for row in (*ledger.payments.values(), *ledger.refunds.values())]


def test_a_second_run_continues_the_first(tmp_path):
    path, key = tmp_path / "folder" / "sandbox.json", new_key()
    with SandboxServer(payments=60, state=path) as server:
        stripe = Stripe(server)
        payment = stripe.pay(last4="7726")
        refund = stripe.refund(payment, amount=100, key=key)
        stripe.prefix = "/_sandbox"
        stripe.send("POST", "/clock", '{"advance_seconds": 3600}')
        before = rows(server)
    with SandboxServer(payments=60, state=path) as server:
        assert rows(server) == before
        assert server.clock.offset == timedelta(hours=1)
        stripe = Stripe(server)
        again = stripe.refund(payment, amount=100, key=key)
        assert (again.body, again.headers["Idempotent-Replayed"]) == (refund.body, "true")
        assert stripe.get(f"/v1/refunds/{refund.data['id']}").data["status"] == "succeeded"
        assert len(stripe.get("/v1/events").data["data"]) == 5
        new = stripe.refund(payment, amount=100).data["id"]
        assert new not in {row["id"] for row in before}


def test_what_was_due_is_still_due(tmp_path):
    path = tmp_path / "sandbox.json"
    with SandboxServer(state=path) as server:
        refund = PayPal(server).refund(PayPal(server).pay(), "4.05").data
    with SandboxServer(state=path) as server:
        server.clock.advance(timedelta(seconds=30))
        assert PayPal(server).get(f"/v2/payments/refunds/{refund['id']}").data["status"] == (
            "COMPLETED"
        )


def test_settings_and_subscriptions_are_kept(tmp_path):
    path = tmp_path / "sandbox.json"
    with SandboxServer(state=path) as server:
        control = Stripe(server)
        control.prefix = "/_sandbox"
        wish = {"account": "stripe-main", "balance": {"USD": 105}}
        control.send("POST", "/accounts", json.dumps(wish))
        Stripe(server).refund(control.pay(), amount=100)
        wish = {"subscribe": "http://127.0.0.1:9/", "account": "nmi-main"}
        control.send("POST", "/webhooks", json.dumps(wish))
    with SandboxServer(state=path) as server:
        assert server.ledger.accounts["stripe-main"].settings.balance == {"USD": 5}
        assert server.ledger.subscriptions[0].account == "nmi-main"
        server.reset(seed=1, payments=0)
    with SandboxServer(state=path) as server:
        assert server.ledger.subscriptions == []


def start(path, *options):
    process = subprocess.Popen(
        [sys.executable, "-m", "gateways.sandbox", "--port", "0", "--state", str(path), *options],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    return process, line.split()[-1].removesuffix("/_sandbox/") if line else ""


class Remote:
    """A sandbox in another process, as far as merchants need it."""

    def __init__(self, url):
        self.url = url


def test_a_killed_process_forgets_nothing(tmp_path):
    path = tmp_path / "sandbox.json"
    key = {"Authorization": "Bearer sk_test_sandbox_main"}
    process, url = start(path, "--payments", "60")
    stripe = Stripe(Remote(url))
    stripe.prefix = ""
    wish = {"account": "stripe-main", "amount": "10.00"}
    payment = stripe.send("POST", "/_sandbox/payments", json.dumps(wish)).data["payment"]
    body = f"charge={payment['id']}&amount=77"
    refund = stripe.send("POST", "/stripe/v1/refunds", body, key).data
    process.kill()
    process.wait(10)
    process, url = start(path)
    answer = Stripe(Remote(url)).send("GET", f"/v1/refunds/{refund['id']}", headers=key)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert answer.data == refund
    assert process.stderr.read() == ""


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "sandbox.json"
    with SandboxServer(state=path) as server:
        payment = Stripe(server).pay()
    with path.open("a") as file:
        file.write('{"payment": {"id": "ch_cut')
    with SandboxServer(state=path) as server:
        assert list(server.ledger.payments) == [payment.id]


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", "{}", '{"coffee": {}}', '{"payment": {"a": 1}}']
)
def test_a_file_of_something_else_is_an_error_with_its_line(tmp_path, line):
    path = tmp_path / "sandbox.json"
    path.write_text(f'{{"clock":0}}\n{line}\n')
    with pytest.raises(StateFileError, match="line 2"):
        SandboxServer(state=path)
    process, url = start(path)
    assert (process.wait(10), url) == (1, "")
    assert "line 2" in process.stderr.read()
    assert path.exists()
