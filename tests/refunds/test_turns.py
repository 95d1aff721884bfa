"""Turns of workers: counted, ended, and lost."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.errors import NotSent, OutcomeUnknown
from refunds import circuits, execution, resolution, services, sweeps, turns
from refunds.clock import database_now
from refunds.models import Attention, AttentionKind, CircuitBreaker
from refunds.states import Status
from tests.scripts import run_script

from .desk import Desk
from .test_resolution import due, lose_the_answer

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)
SEND = "from refunds.execution import send_refund; send_refund('{}')"


@only_stripe
def test_a_refund_that_kills_its_workers_is_put_before_a_person(desk: Desk, agent):
    refund = desk.ask(desk.pay(), 2_500)
    for number in (1, 2, 3):
        due(refund)
        with pytest.raises(subprocess.CalledProcessError):
            run_script(SEND.format(refund.pk), CRASH_AT="after-claim")
        refund.refresh_from_db()
        assert (refund.status, refund.unfinished) == (Status.QUEUED, number)
        assert refund.next_action_at > timezone.now() + timedelta(seconds=60)
    due(refund)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    assert (refund.status, refund.next_action_at) == (Status.QUEUED, None)
    assert Attention.objects.get(refund=refund).kind == AttentionKind.STUCK
    assert sweeps.publish_due() == 0
    assert desk.given_back(refund.transaction) == []

    services.hurry_refund(refund, actor=agent)  # a person found out why
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    assert (refund.status, refund.unfinished, refund.attention_reason) == ("succeeded", 0, None)


@only_stripe
@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_worker_whose_clock_is_off_changes_no_schedule(desk: Desk, minutes):
    lost, leased = (desk.ask(desk.pay(), 2_500) for _ in range(2))
    assert execution.claim(leased, execution.Operation.REFUND)
    desk.arm("refund", "reset", "before")
    run_script(
        f"""
from datetime import timedelta
from unittest import mock
from django.utils import timezone
true_now = timezone.now
with mock.patch("django.utils.timezone.now", lambda: true_now() + timedelta(minutes={minutes})):
    from refunds import execution, sweeps
    execution.send_refund("{lost.pk}")
    assert sweeps.expire_leases() == 0
    assert sweeps.publish_due() == 0
    assert sweeps.look_up_due() == 0
    assert sweeps.flag_overdue() == 0
"""
    )
    now = database_now()
    lost.refresh_from_db()
    attempt = lost.attempts.get()
    assert lost.status == Status.UNKNOWN
    for moment in (lost.unknown_since, attempt.started_at, attempt.ended_at, attempt.last_sent_at):
        assert timedelta() <= now - moment < timedelta(minutes=1)
    assert timedelta(seconds=-60) < lost.next_action_at - now <= timedelta(seconds=10)
    leased.refresh_from_db()
    assert timedelta() < leased.lease_until - now <= turns.LEASE


@only_stripe
def test_who_waits_for_a_slot_waits_a_moment_and_leaves_no_trace(desk: Desk, settings):
    settings.PROVIDER_CONCURRENCY = 0
    refund = desk.ask(desk.pay(), 2_500)
    events = refund.events.count()
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    assert (refund.status, refund.unfinished, refund.claims) == (Status.QUEUED, 0, 0)
    assert timedelta() < refund.next_action_at - timezone.now() < timedelta(seconds=5)
    assert refund.events.count() == events


@only_stripe
def test_a_look_up_goes_on_while_sends_are_stopped(desk: Desk):
    refund = lose_the_answer(desk, "after")
    now = timezone.now()
    stopped = {"failures": 3, "down_since": now, "retry_at": now + timedelta(hours=1)}
    CircuitBreaker.objects.update_or_create(stopped, account=desk.account)
    assert not circuits.is_closed(desk.account.pk)
    due(refund)
    resolution.look_up_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == Status.SUCCEEDED
    assert circuits.is_closed(desk.account.pk)


@only_stripe
def test_an_earlier_worker_ends_no_turn_of_a_later_one(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    early = turns.take_up(refund.pk, Status.QUEUED)
    assert early
    assert turns.take_up(refund.pk, Status.QUEUED) is None
    due(refund)  # its lease ran out
    late = turns.take_up(refund.pk, Status.QUEUED)
    assert late
    turns.put_off(early, timedelta(hours=1))
    refund.refresh_from_db()
    assert (refund.next_action_at, refund.unfinished) == (late.next_action_at, 2)
    assert execution.claim(early, execution.Operation.REFUND) is None
    assert execution.claim(late, execution.Operation.REFUND)


@pytest.mark.parametrize(
    ("error", "silent"),
    [
        (NotSent("No.", reason="unreachable"), False),  # nobody was called
        (NotSent("No.", reason="too_late"), False),
        (OutcomeUnknown("What?"), False),
    ],
)
def test_without_a_call_there_is_no_silence(error, silent):
    assert turns.is_silence(error) is silent
