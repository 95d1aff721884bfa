"""Turns of workers: counted, ended, and lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.errors import NotSent, OutcomeUnknown
from refunds import circuits, execution, resolution, turns
from refunds.models import Attention, CircuitBreaker, Refund
from refunds.services import cancel_refund
from refunds.states import Status
from refunds.transitions import lock_refund

from .desk import Desk
from .test_resolution import due, lose_the_answer

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


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


@only_stripe
def test_a_refund_that_ended_meanwhile_is_not_set_aside(desk: Desk, monkeypatch):
    """Nobody could close the case: what has ended is never proven."""
    refund = desk.ask(desk.pay(), 2_500)
    Refund.objects.filter(pk=refund.pk).update(unfinished=turns.MAX_UNFINISHED)
    due(refund)

    def cancel_just_before(refund_id):
        cancel_refund(refund, actor=refund.requested_by)
        return lock_refund(refund_id)

    monkeypatch.setattr(turns, "lock_refund", cancel_just_before)
    assert turns.take_up(refund.pk, Status.QUEUED) is None
    refund.refresh_from_db()
    assert refund.status == Status.CANCELED
    assert not Attention.objects.exists()


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
