"""Faults underneath: the broker empty, gone or slow to believe; the database cut off."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from refunds.models import Refund
from refunds.states import Status
from refunds.sweeps import publish_due
from refunds.tasks import send_refund
from tests.rest import make_person, make_token
from tests.scripts import NO_BROKER, run_script, script_process
from tests.waiting import wait_until

from .play import assert_agreement, is_stopped, recovered

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


def messages(valkey) -> int:
    return valkey.llen("submit")


@only_stripe
def test_f06_an_emptied_broker_loses_nothing(desk, valkey):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    assert messages(valkey) == 1
    valkey.flushall()
    assert publish_due() == 0  # not at once: the message may still be under way
    Refund.objects.filter(pk=refund.pk).update(enqueued_at=timezone.now() - timedelta(seconds=16))
    assert publish_due() == 1
    assert messages(valkey) == 1
    send_refund(str(refund.pk))
    assert_agreement(desk, transaction, 2_500)


@only_stripe
def test_f07_a_broker_that_is_down_refuses_nobody(desk, valkey):
    transaction = desk.pay()
    key = make_token(make_person("agent"))[1]
    script = f"""
from django.test.utils import setup_test_environment
setup_test_environment()
from rest_framework.test import APIClient
client = APIClient()
client.credentials(HTTP_AUTHORIZATION="Token {key}")
answer = client.post("/api/v1/transactions/{transaction.pk}/refunds/",
    {{"amount": "25.00", "reason": "other", "note": ""}}, format="json",
    headers={{"Idempotency-Key": "one"}})
print(answer.status_code)
"""
    assert run_script(script, REDIS_URL=NO_BROKER).splitlines()[-1] == "202"
    refund = Refund.objects.get()
    assert (refund.status, refund.enqueued_at) == (Status.QUEUED, None)
    assert publish_due() == 1
    assert messages(valkey) == 1


@only_stripe
@pytest.mark.parametrize("after", [False, True])
def test_f07_a_process_that_dies_while_it_publishes_leaves_the_row(desk, valkey, after):
    refund = desk.ask(desk.pay(), 2_500)
    valkey.flushall()
    Refund.objects.update(enqueued_at=None)
    run_dying = "from refunds.sweeps import publish_due; publish_due()"
    with script_process(run_dying, CRASH_AT="in-outbox-drain") as sweep:
        assert sweep.wait(60) == -signal.SIGKILL
    if after:
        valkey.flushall()  # and its message is lost, too
    assert publish_due() == 1
    send_refund(str(refund.pk))
    send_refund(str(refund.pk))
    assert_agreement(desk, refund.transaction, 2_500)


@pytest.mark.parametrize("failpoint", ["after-claim", "after-send", "before-result-commit"])
def test_f08_a_database_that_cuts_a_worker_off_is_not_believed_either_way(
    desk, failpoint, tmp_path
):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    (tmp_path / failpoint).write_text("stop")
    script = f"from refunds.execution import send_refund; send_refund('{refund.pk}')"
    with script_process(script, CRASH_AT=f"{tmp_path}/") as worker:
        wait_until(lambda: is_stopped(worker.pid), 30)
        cut_off_others()
        worker.send_signal(signal.SIGCONT)
        worker.wait(60)
    refund.refresh_from_db()
    recovered(refund)
    assert refund.status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


def cut_off_others() -> None:
    """End every other connection to this test's database, as a restart would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
