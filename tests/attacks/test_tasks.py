"""Messages that somebody with a way into the broker hands to the workers: none of them is money."""

from __future__ import annotations

import json
import uuid
from base64 import b64encode

import pytest
from celery import current_app
from django.contrib.auth.models import User

from refunds.approvals import approve_refund
from refunds.models import ApprovalRule, Refund, RefundEvent
from refunds.services import cancel_refund
from refunds.states import Status
from tests.refunds.desk import Desk
from tests.rest import make_person
from tests.waiting import wait_until

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)

OF_REFUNDS = ("refunds.tasks.send_refund", "refunds.tasks.look_up_refund")
BY_NUMBER = ("refunds.tasks.process_webhook", "campaigns.tasks.work", "refunds.tasks.sync_account")
NO_IDS = [
    "", "x", "1; DROP TABLE refunds_refund", "0" * 32, "../../etc/passwd", "\x00", "=1+1", 0, -1,
    2**70, 1.5, True, None, [], {}, ["a"], {"__reduce__": ["os.system", ["id"]]}, "9" * 100_000,
]  # fmt: skip
PAYLOAD = b"cposix\nsystem\n(S'touch /tmp/never'\ntR."


def all_taken(valkey) -> bool:
    """Whether the workers have taken every message, and are done with it."""
    queues = ("submit", "sweep", "lookup", "webhook", "bulk", "reports")
    return not (any(valkey.llen(queue) for queue in queues) or valkey.hlen("unacked"))


def push(valkey, queue: str, message: bytes) -> None:
    """Put bytes into a queue as they are."""
    valkey.lpush(queue, message)


def message(body: bytes, kind: str) -> bytes:
    """A message as Celery's transport writes it."""
    told = {
        "body": b64encode(body).decode(),
        "content-encoding": "binary" if kind == "application/x-python-serialize" else "utf-8",
        "content-type": kind,
        "headers": {
            "lang": "py", "task": "refunds.tasks.send_refund", "id": str(uuid.uuid4()),
            "root_id": None, "parent_id": None, "group": None, "argsrepr": "", "kwargsrepr": "",
        },
        "properties": {
            "correlation_id": str(uuid.uuid4()), "delivery_mode": 2, "priority": 0,
            "delivery_info": {"exchange": "", "routing_key": "submit"},
            "body_encoding": "base64", "delivery_tag": str(uuid.uuid4()),
        },
    }  # fmt: skip
    return json.dumps(told).encode()


@pytest.fixture
def zoe(transactional_db) -> User:
    return make_person("approver", email="zoe@example.com")


@pytest.fixture
def goes_out(desk: Desk, zoe):
    """Ask for a refund, have it approved, and wait until a worker has sent it."""

    def goes_out() -> Refund:
        refund = approve_refund(desk.ask(desk.pay(), 1_100), actor=zoe)
        wait_until(lambda: Refund.objects.get(pk=refund.pk).status == Status.SUCCEEDED, 30)
        return refund

    return goes_out


@pytest.fixture
def waits(desk: Desk, zoe) -> Refund:
    """One that nobody has approved."""
    ApprovalRule.objects.create(currency="USD", value=0, made_by=make_person("manager"))
    refund = desk.ask(desk.pay(), 2_500)
    assert refund.status == Status.AWAITING_APPROVAL
    return refund


def history() -> list[tuple[object, str]]:
    return list(RefundEvent.objects.order_by("pk").values_list("refund_id", "kind"))


@only_stripe
def test_what_no_row_allows_moves_nothing(desk, waits, goes_out, celery_worker_process, valkey):
    canceled = cancel_refund(desk.ask(desk.pay(), 300), actor=make_person("manager"))
    made = goes_out()
    before, calls = history(), desk.calls("refund")
    for task in OF_REFUNDS:
        for refund_id in (uuid.uuid4(), waits.pk, canceled.pk, made.pk, made.pk):
            current_app.send_task(task, args=[str(refund_id)])
    wait_until(lambda: all_taken(valkey), 30)
    assert history() == before
    assert desk.calls("refund") == calls == 1
    assert desk.given_back(made.transaction) == [1_100]
    assert desk.sums(waits.transaction) == (2_500, 0)
    waits.refresh_from_db()
    assert (waits.status, waits.attempts.count()) == (Status.AWAITING_APPROVAL, 0)


@only_stripe
def test_rubbish_is_put_away_and_the_worker_goes_on(
    desk, waits, goes_out, celery_worker_process, valkey
):
    before = history()
    worker = celery_worker_process.pids["worker"]
    for task in (*OF_REFUNDS, *BY_NUMBER):
        for no_id in NO_IDS:
            if task in BY_NUMBER and isinstance(no_id, bool):
                continue  # to Python it is 1, which may be a row
            current_app.send_task(task, args=[no_id])
        current_app.send_task(task, args=[])
        current_app.send_task(task, args=[str(waits.pk), "force"])
        current_app.send_task(task, kwargs={"refund_id": str(waits.pk), "approved_by": 1})
    for task in (
        "refunds.execution.send_refund",
        "os.system",
        "refunds.tasks.approve",
        "",
        "x" * 9_999,
    ):
        current_app.send_task(task, args=[str(waits.pk)], queue="submit")
    wait_until(lambda: all_taken(valkey), 60)
    assert history() == before
    assert desk.calls("refund") == 0
    goes_out()
    assert celery_worker_process.pids["worker"] == worker


@only_stripe
def test_what_is_no_message_of_ours_is_never_unpacked(
    desk, waits, goes_out, celery_worker_process, valkey, tmp_path
):
    touched = tmp_path / "touched"
    payload = PAYLOAD.replace(b"/tmp/never", bytes(touched))
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack"):
        push(valkey, "submit", message(payload, kind))
    for body in (b"[", b"\xff\xfe", b"{]}"):
        push(valkey, "submit", message(body, "application/json"))
    wait_until(lambda: all_taken(valkey), 30)
    assert not touched.exists()
    assert desk.calls("refund") == 0
    waits.refresh_from_db()
    assert waits.status == Status.AWAITING_APPROVAL
    goes_out()
