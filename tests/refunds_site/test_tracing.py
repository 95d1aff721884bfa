"""The id of a request is found wherever it led to: in the message, the worker and the audit trail."""

from __future__ import annotations

import json
import uuid
from urllib.request import Request, urlopen

import pytest
from celery import current_app
from django.test import RequestFactory
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.testing import capture_logs

from refunds.models import Refund
from refunds.publishing import hand_out
from refunds_site import embedded, processes
from refunds_site.logs import RequestLogMiddleware
from refunds_site.supervisor import Supervisor
from refunds_site.tracing import safe_id
from tests.refunds.desk import Desk
from tests.rest import make_person, make_token
from tests.waiting import wait_until

from .production import lines, production_environment


@pytest.fixture
def desk(sandbox, transactional_db):
    return Desk(sandbox, "stripe", lambda *_: None)


@pytest.fixture
def installation(desk, tmp_path):
    """A site and a worker as in production: its address, and where their logs are."""
    port = embedded.free_port()
    supervisor = Supervisor(tmp_path)

    def start(**settings: str) -> str:
        environment = production_environment(**settings)
        supervisor.start(processes.web(environment, port), processes.worker(environment))
        return f"http://127.0.0.1:{port}"

    try:
        yield start
    finally:
        supervisor.stop()


def ask(address: str, transaction_id: int, **headers: str) -> tuple[str, str]:
    """Ask for a refund; the id of the request, and of the refund."""
    _token, key = make_token(make_person("manager"))
    asked = Request(
        f"{address}/api/v1/transactions/{transaction_id}/refunds/",
        json.dumps({"amount": "12.50", "reason": "requested_by_customer"}).encode(),
        {
            "Authorization": f"Token {key}",
            "Idempotency-Key": "once",
            "Content-Type": "application/json",
        }
        | headers,
    )
    with urlopen(asked, timeout=20) as answer:
        return answer.headers["X-Request-ID"], json.load(answer)["id"]


@pytest.mark.parametrize("by", ["its own message", "a sweep"])
def test_one_id_from_the_request_to_the_processor(desk, installation, tmp_path, by):
    address = installation(UNDO_SECONDS="0" if by == "its own message" else "1")
    transaction = desk.pay()
    request_id, refund_id = ask(address, transaction.pk, **{"X-Request-ID": "shop-4711.a"})
    refund = Refund.objects.get(pk=refund_id)

    def is_done() -> bool:
        if by == "a sweep":
            current_app.send_task("refunds.tasks.publish_due")
        refund.refresh_from_db()
        return refund.status == "succeeded"

    wait_until(is_done, 30)
    (line,) = [line for line in lines(tmp_path / "web.log") if line["event"] == "request"]
    assert (line["request_id"], line["callers_request_id"]) == (request_id, "shop-4711.a")
    assert refund.events.get(kind="requested").data["request_id"] == request_id

    def ours() -> list[dict]:
        found = lines(tmp_path / "worker.log")
        return [line for line in found if line.get("request_id") == request_id]

    wait_until(lambda: "task" in [line["event"] for line in ours()])
    worked = ours()
    assert {line["event"] for line in worked} == {"processor_call", "refund_event", "task"}
    assert {line["refund"] for line in worked} == {refund_id}
    assert {line["account"] for line in worked} == {desk.account.slug}
    assert len({line["task_id"] for line in worked}) == 1
    assert [line["kind"] for line in worked if "kind" in line] == ["claimed", "succeeded"]
    # What handed it out has an id of its own.
    assert {"cause_id" in line for line in worked} == {by == "a sweep"}


def test_a_message_carries_the_id_of_what_is_under_way(valkey):
    bind_contextvars(request_id="0123456789abcdef")
    hand_out("refunds.tasks.send_refund", [str(uuid.uuid4())])
    clear_contextvars()
    hand_out("refunds.tasks.send_refund", [str(uuid.uuid4())])
    headers = [json.loads(each)["headers"] for each in valkey.lrange("submit", 0, -1)]
    assert [each.get("request_id") for each in headers] == [None, "0123456789abcdef"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("4bf92f3577b34da6a3ce929d0e0e4736", True),
        ("shop-4711_a.b", True),
        ("short", False),
        ("x" * 65, False),
        ("a b c d e f g h", False),
        ('"}{"event":"x"', False),
        ("12345678\n", False),
        ("１２３４５６７８９", False),
        (None, False),
        (12345678, False),
    ],
)
def test_only_a_word_is_kept_of_what_callers_send(sent, kept):
    assert safe_id(sent) == (sent if kept else "")


def test_the_id_is_ours_whatever_the_caller_sends():
    from django.http import HttpResponse

    request = RequestFactory().get("/", headers={"X-Request-ID": "0123456789abcdef"})
    with capture_logs():
        response = RequestLogMiddleware(lambda _request: HttpResponse())(request)
    assert response["X-Request-ID"] != "0123456789abcdef"
