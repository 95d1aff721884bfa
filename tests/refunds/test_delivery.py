"""One attempt of one worker: claimed, written down, sent while the lease holds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from gateways.base import Operation
from gateways.registry import open_gateway
from refunds import delivery, sweeps
from refunds.execution import send_refund
from refunds.models import Refund, RefundAttempt
from refunds.states import AttemptState, Status
from tests.waiting import wait_until
from transactions.models import Transaction

from .desk import Desk
from .faults.play import in_parallel

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@only_stripe
def test_of_many_workers_one_sends(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    in_parallel(10, lambda _number: send_refund(refund.pk))
    assert desk.given_back(transaction) == [2_500]
    assert refund.attempts.get().sends == 1


@only_stripe
def test_a_worker_that_slept_through_its_lease_does_not_send(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    attempt = delivery.claim(refund, Operation.REFUND)
    assert attempt
    long_ago = time.monotonic() - 100
    delivery.deliver(attempt, open_gateway(desk.account), long_ago)
    assert desk.given_back(transaction) == []
    refund.refresh_from_db()
    assert refund.status == Status.SENDING  # the sweep takes it from here


@only_stripe
def test_a_worker_that_lost_its_lease_does_not_send(desk: Desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    attempt = delivery.claim(refund, Operation.REFUND)
    assert attempt
    Refund.objects.filter(pk=refund.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sweeps.expire_leases() == 1
    delivery.deliver(attempt, open_gateway(desk.account), time.monotonic())
    assert desk.given_back(transaction) == []
    refund.refresh_from_db()
    assert refund.status == Status.UNKNOWN


@only_stripe
def test_an_attempt_is_a_row_before_the_first_byte_leaves(desk: Desk):
    """The sandbox looks into our database at the moment it gets the request."""
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "slow", "before", seconds=3)
    with ThreadPoolExecutor(1) as pool:

        def work() -> None:
            try:
                send_refund(refund.pk)
            finally:
                connections.close_all()

        working = pool.submit(work)
        wait_until(lambda: desk.calls("refund"))
        assert not working.done()
        attempt = RefundAttempt.objects.get(refund=refund)
        assert (attempt.state, attempt.sends) == (AttemptState.STARTED, 1)
        assert attempt.first_sent_at
        working.result()
    assert Transaction.objects.get(pk=transaction.pk).refunded_minor == 2_500
