"""A webhook may be faster than the answer to our own refund, or all that there is of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from refunds.execution import send_refund
from refunds.models import Refund, RefundAttempt, WebhookEvent, WebhookState
from refunds.resolution import look_up_refund
from refunds.states import Status
from tests.waiting import wait_until

from .hooks import again, in_threads, late, pass_time, seconds_left, states, work

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


def ours(desk, transaction, minor=1_500):
    refund = desk.ask(transaction, minor)
    Refund.objects.filter(pk=refund.pk).update(next_action_at=Now())
    return refund


def lost(desk, transaction):
    """A refund of ours that never came to be, whose outcome is unknown; nothing is due for it."""
    refund = ours(desk, transaction)
    desk.arm("refund", "reset", "before")
    send_refund(refund.pk)
    Refund.objects.update(next_action_at=Now() + timedelta(minutes=5))
    return refund


def reported(desk, hooks, transaction):
    """The event of the first refund that the processor made of the payment."""
    wait_until(lambda: desk.given_back(transaction))
    with hooks.ledger.lock:
        payment = hooks.ledger.payments[transaction.external_id]
        [made] = hooks.ledger.refunds_of(payment)
    wait_until(lambda: hooks.events(made.id))
    return hooks.events(made.id)[0]


def test_it_waits_until_the_answer_is_there(desk, hooks):
    transaction = desk.pay()
    refund = ours(desk, transaction)
    desk.arm("refund", "slow", "after", seconds=20)

    def hear():
        hooks.deliver(reported(desk, hooks, transaction))
        assert Refund.objects.get().status == Status.SENDING
        work()
        heard = WebhookEvent.objects.get(), Refund.objects.get().status
        desk.sandbox.faults.clear()  # now it may answer
        return heard

    _sent, (parked, status) = in_threads(lambda: send_refund(refund.pk), hear)
    assert status == Status.SENDING
    assert (parked.state, parked.tries) == (WebhookState.RECEIVED, 0)
    assert "answer is awaited" in parked.problem
    refund.refresh_from_db()
    assert refund.status in (Status.SUCCEEDED, Status.PENDING)
    pass_time()
    work()
    assert states() == [("processed", 1)]
    assert Refund.objects.get() == refund
    assert sum(desk.sums(transaction)) == 1_500 == sum(desk.given_back(transaction))


def test_it_brings_an_answer_that_was_lost(desk, hooks):
    transaction = desk.pay()
    refund = ours(desk, transaction)
    desk.arm("refund", "reset", "after")
    send_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == Status.UNKNOWN
    hooks.deliver(reported(desk, hooks, transaction))
    work()
    refund.refresh_from_db()
    assert refund.status in (Status.SUCCEEDED, Status.PENDING)
    assert Refund.objects.get() == refund
    assert states() == [("processed", 1)]
    assert desk.given_back(transaction) == [1_500]


@only_stripe
def test_what_could_be_ours_waits_and_hurries_ours(desk, hooks):
    """Somebody refunds the same amount by hand while the outcome of ours is unknown."""
    transaction = desk.pay()
    refund = lost(desk, transaction)
    RefundAttempt.objects.update(last_sent_at=Now() - timedelta(minutes=1))
    hooks.deliver(hooks.events(hooks.refund(transaction, 1_500))[0])
    work()
    assert Refund.objects.get() == refund
    event = WebhookEvent.objects.get()
    assert event.state == WebhookState.RECEIVED
    assert Refund.objects.filter(next_action_at__lte=Now()).exists()
    look_up_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == Status.SUCCEEDED
    pass_time()
    work()
    assert again(event).state == WebhookState.PROCESSED
    origins = Refund.objects.order_by("origin").values_list("origin", "status")
    assert list(origins) == [("external", "succeeded"), ("staff", "succeeded")]
    assert desk.sums(transaction) == (0, 3_000)


@only_stripe
def test_a_look_up_that_is_under_way_is_not_hurried(desk, hooks):
    """Every turn that is taken over counts as a worker that was lost."""
    transaction = desk.pay()
    lost(desk, transaction)
    Refund.objects.update(unfinished=1)
    RefundAttempt.objects.update(last_sent_at=Now() - timedelta(minutes=1))
    hooks.deliver(hooks.events(hooks.refund(transaction, 1_500))[0])
    work()
    assert WebhookEvent.objects.get().state == WebhookState.RECEIVED
    assert not Refund.objects.filter(next_action_at__lte=Now()).exists()


@only_stripe
def test_a_wait_of_hours_hurries_nobody(desk, hooks):
    transaction = desk.pay()
    lost(desk, transaction)
    hooks.deliver(hooks.events(hooks.refund(transaction, 1_500))[0])
    event = WebhookEvent.objects.get()
    late(event, hours=3)
    work()
    assert not Refund.objects.filter(next_action_at__lte=Now()).exists()
    assert seconds_left(event) == 3600
