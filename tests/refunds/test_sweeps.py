"""Handing out what is due, and finding what lost its worker or its time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from refunds import execution, sweeps
from refunds.models import Refund
from refunds.states import Status
from refunds.sync import sync_account

from .desk import ONE_SHOT, Desk
from .test_resolution import due, lose_the_answer

one_shot = pytest.mark.parametrize("desk", ONE_SHOT, indirect=True)
only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@only_stripe
def test_due_refunds_without_a_message_are_handed_out_again(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    Refund.objects.filter(pk=refund.pk).update(enqueued_at=None)
    assert sweeps.publish_due() == 1
    assert sweeps.publish_due() == 0  # one is under way
    lost = timezone.now() - timedelta(seconds=16)
    Refund.objects.filter(pk=refund.pk).update(enqueued_at=lost)
    assert sweeps.publish_due() == 1


@one_shot
def test_a_sync_hurries_what_waited_for_settlement(desk: Desk):
    transaction = desk.pay(status="captured")
    refund = desk.ask(transaction, 2_500)
    execution.send_refund(refund.pk)
    sync_account(desk.account)
    assert sweeps.publish_due() == 0  # not settled yet
    desk.change(transaction, status="settled")
    sync_account(desk.account)
    assert sweeps.publish_due() == 1
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    assert (refund.status, refund.operation) == (Status.SUCCEEDED, "refund")


@only_stripe
def test_open_questions_are_handed_out_when_due(desk: Desk):
    refund = lose_the_answer(desk, "before")
    assert sweeps.look_up_due() == 0
    due(refund)
    assert sweeps.look_up_due() == 1


@only_stripe
def test_what_stays_unproven_is_shown_to_people_once(desk: Desk):
    refund = lose_the_answer(desk, "before")
    assert sweeps.flag_overdue() == 0
    long_ago = timezone.now() - timedelta(minutes=16)
    Refund.objects.filter(pk=refund.pk).update(unknown_since=long_ago)
    assert sweeps.flag_overdue() == 1
    assert sweeps.flag_overdue() == 0
    refund.refresh_from_db()
    assert refund.attention_reason
