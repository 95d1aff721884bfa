"""Faults of workers: killed before, during and after the call, doubled, paused, poisoned."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import timedelta

import pytest
from django.utils import timezone

from refunds import tasks
from refunds.execution import send_refund
from refunds.models import AttentionKind, Refund
from refunds.services import hurry_refund
from refunds.states import AttemptState, Status
from refunds.sweeps import publish_due
from tests.refunds.desk import KEYED
from tests.scripts import run_script, script_process
from tests.waiting import wait_until

from .play import assert_agreement, due, in_parallel, is_stopped, looked_up, recovered, sent

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


def die_at(failpoint: str, refund: Refund, task: str = "execution.send_refund") -> None:
    """Let a worker process do what is due, and be killed at a failpoint."""
    due(refund)
    module, _, function = task.partition(".")
    script = f"from refunds.{module} import {function} as do; do('{refund.pk}')"
    with pytest.raises(subprocess.CalledProcessError) as killed:
        run_script(script, CRASH_AT=failpoint)
    assert killed.value.returncode == -signal.SIGKILL, killed.value.stderr
    refund.refresh_from_db()


@pytest.mark.parametrize("failpoint", ["after-claim", "after-attempt-commit"])
def test_f03_killed_before_the_call_nothing_is_lost(desk, failpoint):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    die_at(failpoint, refund)
    assert desk.given_back(transaction) == []
    assert recovered(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


@pytest.mark.parametrize("carried_out", [True, False])
def test_f04_killed_during_the_call_it_is_open_and_made_once_at_most(desk, carried_out):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "reset", "after" if carried_out else "before")
    die_at("after-send", refund)
    wait_until(lambda: desk.calls("refund") == 1)
    wait_until(lambda: desk.given_back(transaction) == [2_500] * carried_out)
    assert refund.status == Status.SENDING
    recovered(refund)
    if carried_out or desk.processor in KEYED:
        assert refund.status == Status.SUCCEEDED
        assert_agreement(desk, transaction, 2_500)
    else:
        assert refund.status == Status.UNKNOWN
        assert refund.attempts.get().state == AttemptState.AMBIGUOUS
        assert_agreement(desk, transaction)
    assert refund.attempts.count() == 1


def test_f04_killed_before_the_first_byte_it_is_open_all_the_same(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    die_at("before-connect", refund)
    assert desk.calls("refund") == 0
    recovered(refund)
    if desk.processor in KEYED:
        assert_agreement(desk, transaction, 2_500)
    else:
        assert refund.status == Status.UNKNOWN  # only two people may send it again
        assert_agreement(desk, transaction)


@pytest.mark.parametrize("failpoint", ["after-response", "before-result-commit"])
def test_f05_killed_after_the_answer_it_is_found(desk, failpoint):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    die_at(failpoint, refund)
    assert refund.status == Status.SENDING
    assert desk.given_back(transaction) == [2_500]
    assert recovered(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


@only_stripe
def test_f05_killed_after_the_commit_nothing_is_left_to_do(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    die_at("after-result-commit", refund)
    assert refund.status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


@only_stripe
def test_f26_a_message_that_comes_twice_does_its_work_once(desk, celery_worker_process):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    for _ in range(10):
        tasks.send_refund.delay(str(refund.pk))
    wait_until(lambda: Refund.objects.get(pk=refund.pk).status == Status.SUCCEEDED, 30)
    assert refund.attempts.get().sends == 1
    assert_agreement(desk, transaction, 2_500)


@only_stripe
def test_f27_a_worker_killed_for_its_memory_loses_nothing(desk, celery_worker_process):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "slow", seconds=20)
    tasks.send_refund.delay(str(refund.pk))
    wait_until(lambda: desk.calls("refund") == 1, 30)
    os.kill(int(worker_child(refund)), signal.SIGKILL)
    desk.sandbox.faults.clear()
    wait_until(lambda: desk.given_back(transaction) == [2_500])
    recovered(refund)
    assert refund.status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


def worker_child(refund: Refund) -> str:
    """The process that holds the lease, as the row says."""
    refund.refresh_from_db()
    return refund.lease_owner.rpartition(":")[2]


@only_stripe
def test_f28_a_worker_that_is_told_to_stop_finishes_its_call(desk, celery_worker_process):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "slow", seconds=3)
    tasks.send_refund.delay(str(refund.pk))
    wait_until(lambda: desk.calls("refund") == 1, 30)
    celery_worker_process.stop()
    refund.refresh_from_db()
    assert refund.status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 2_500)


def test_f29_of_forty_workers_one_sends(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    due(refund)
    in_parallel(40, lambda _number: send_refund(refund.pk))
    assert refund.attempts.get().sends == 1
    assert_agreement(desk, transaction, 2_500)


@pytest.mark.parametrize("failpoint", ["after-attempt-commit", "before-connect"])
def test_f30_a_worker_that_wakes_after_its_lease_overwrites_nothing(desk, failpoint, tmp_path):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    (tmp_path / failpoint).write_text("stop")
    script = f"from refunds.execution import send_refund; send_refund('{refund.pk}')"
    with script_process(script, CRASH_AT=f"{tmp_path}/") as worker:
        wait_until(lambda: is_stopped(worker.pid), 30)
        recovered(refund)
        before = (refund.status, desk.given_back(transaction))
        worker.send_signal(signal.SIGCONT)
        worker.wait(60)
    looked_up(refund)
    if desk.processor in KEYED:
        assert before == (Status.SUCCEEDED, [2_500])
        assert_agreement(desk, transaction, 2_500)
    else:
        assert refund.status in {Status.SUCCEEDED, Status.UNKNOWN}
        assert len(desk.given_back(transaction)) <= 1
        assert_agreement(desk, transaction, *desk.given_back(transaction))


def test_f40_a_refund_that_kills_its_workers_is_put_before_a_person(desk, agent):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    for number in (1, 2, 3):
        die_at("after-claim", refund)
        assert (refund.status, refund.unfinished) == (Status.QUEUED, number)
        assert refund.next_action_at > timezone.now() + timedelta(seconds=60)
    sent(refund)
    assert refund.status == Status.QUEUED
    assert refund.cases.get().kind == AttentionKind.STUCK
    assert refund.next_action_at is None
    assert publish_due() == 0
    assert_agreement(desk, transaction)

    hurry_refund(refund, actor=agent)  # a person found out why
    send_refund(refund.pk)
    refund.refresh_from_db()
    assert (refund.unfinished, refund.attention_reason) == (0, None)
    assert_agreement(desk, transaction, 2_500)
