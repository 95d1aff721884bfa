"""Handing out what is due, and finding what lost its worker or its time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connections
from django.db import transaction as database
from django.utils import timezone
from structlog.testing import capture_logs

from audit.chains import first_break
from gateways.base import Operation
from refunds import execution, resolution, sweeps
from refunds.history import CHAINS
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import Attention, AttentionKind, CircuitBreaker, Refund, RefundAttempt
from refunds.recording import live_attempt
from refunds.states import Status
from refunds.sync import sync_account
from refunds.transitions import lock_refund
from transactions.advisory import advisory_lock

from .crowd import due_now, ended, multiply
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


@only_stripe
def test_five_thousand_unknown_refunds_are_before_people_after_a_few_passes(desk: Desk):
    """A pass has half a second for them, and there are 60 in a quarter of an hour."""
    multiply(desk.ask(desk.pay(), 2_500), 5_000, **due_now(Status.UNKNOWN))
    late = Refund.objects.filter(status=Status.UNKNOWN)
    late.update(unknown_since=timezone.now() - timedelta(minutes=16))
    passes = 0
    while sweeps.flag_overdue():
        passes += 1
    assert passes <= 30
    assert not late.filter(attention_reason=None).exists()
    assert Attention.objects.filter(owner__isnull=False).count() == 5_000
    for invariant in INVARIANTS:
        if "oldest open case" in invariant.name or "15 minutes" in invariant.name:
            assert broken_rows(invariant) == []
    assert not any(map(first_break, CHAINS))


@only_stripe
def test_a_refund_that_is_held_is_shown_in_the_next_pass(desk: Desk):
    refund = lose_the_answer(desk, "before")
    other = lose_the_answer(desk, "before")
    Refund.objects.update(unknown_since=timezone.now() - timedelta(minutes=16))

    def hold_and_sweep() -> int:
        try:
            return sweeps.flag_overdue()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with database.atomic():
            lock_refund(refund.pk)
            assert pool.submit(hold_and_sweep).result() == 1
        assert Attention.objects.get().refund == other
        assert pool.submit(hold_and_sweep).result() == 1


@only_stripe
def test_an_account_with_very_many_due_does_not_push_out_the_others(desk: Desk):
    other = Desk(desk.sandbox, "paypal", desk.ask)
    lonely = other.ask(other.pay(), 2_500)
    multiply(desk.ask(desk.pay(), 2_500), 500, **due_now(Status.QUEUED))
    Refund.objects.update(enqueued_at=None)
    due(lonely)  # the youngest of all
    share = 5 * settings.PROVIDER_CONCURRENCY
    assert sweeps.publish_due() == share + 1
    lonely.refresh_from_db()
    assert lonely.enqueued_at
    assert sweeps.publish_due() == share  # the next ones, not the same again


@only_stripe
def test_a_stopped_account_is_not_handed_out(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    Refund.objects.filter(pk=refund.pk).update(enqueued_at=None)
    breaker = CircuitBreaker.objects.create(
        account=desk.account, failures=3, retry_at=timezone.now() + timedelta(seconds=9)
    )
    assert sweeps.publish_due() == 0
    breaker.retry_at = timezone.now()
    breaker.save()
    assert sweeps.publish_due() == 1


@only_stripe
def test_two_processes_do_not_make_one_pass(desk: Desk):
    desk.ask(desk.pay(), 2_500)
    Refund.objects.update(enqueued_at=None)

    def sweep_elsewhere() -> int:
        try:
            return sweeps.publish_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with advisory_lock(sweeps.LOCKS + 1) as is_ours:
            assert is_ours
            assert pool.submit(sweep_elsewhere).result() == 0
        assert pool.submit(sweep_elsewhere).result() == 1


@only_stripe
def test_passes_read_what_is_open_and_not_all_that_ever_was(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    multiply(refund, 20_000, **ended())
    for statuses in ([Status.QUEUED], [Status.UNKNOWN, Status.PENDING], [Status.SENDING]):
        plan = sweeps.due_refunds(*statuses).explain()
        assert "refund_due" in plan
        assert "Seq Scan" not in plan


@only_stripe
def test_a_pass_over_many_open_refunds_is_short(desk: Desk):
    """A hundred thousand open refunds take a quarter of a second on two busy cores."""
    refund = desk.ask(desk.pay(), 2_500)
    multiply(refund, 10_000, **due_now(Status.UNKNOWN))
    Refund.objects.update(unknown_since=timezone.now() - timedelta(hours=1))
    for sweep in (
        sweeps.publish_due,
        sweeps.look_up_due,
        sweeps.expire_leases,
    ):
        started = time.monotonic()
        assert sweep() <= sweeps.BATCH
        assert time.monotonic() - started < 2
    started = time.monotonic()
    assert sweeps.flag_overdue()
    assert time.monotonic() - started < 2
    assert Attention.objects.exists()


@only_stripe
def test_a_pass_ends_when_its_time_is_up(desk: Desk):
    desk.ask(desk.pay(), 2_500)
    assert list(sweeps.one_pass(Refund.objects.all()))
    assert not list(sweeps.one_pass(Refund.objects.all(), seconds=-1))


@only_stripe
def test_a_duplicate_message_ends_after_one_query(desk: Desk, django_assert_num_queries):
    refund = desk.ask(desk.pay(), 2_500)
    execution.send_refund(refund.pk)
    for task in (execution.send_refund, resolution.look_up_refund):
        with django_assert_num_queries(1):
            task(refund.pk)


@only_stripe
def test_the_return_of_a_processor_is_noticed_and_all_its_unknown_refunds_are_due(desk: Desk):
    refunds = [lose_the_answer(desk, when) for when in ("before", "after", "after")]
    Refund.objects.update(next_action_at=timezone.now() + timedelta(hours=5))
    now = timezone.now()
    RefundAttempt.objects.update(last_sent_at=now - timedelta(minutes=1))
    down = {"failures": 3, "down_since": now, "retry_at": now}
    CircuitBreaker.objects.update_or_create(down, account=desk.account)
    assert sweeps.look_up_due() == 0
    assert sweeps.probe_down_accounts() == 1
    assert sweeps.look_up_due() == 0  # its message is under way
    probe = Refund.objects.filter(next_action_at__lte=timezone.now()).get()
    resolution.look_up_refund(probe.pk)
    assert not CircuitBreaker.objects.exclude(down_since=None).exists()
    assert sweeps.look_up_due() == 2
    for refund in refunds:
        resolution.look_up_refund(refund.pk)
        refund.refresh_from_db()
        assert refund.status == Status.SUCCEEDED
    assert sweeps.probe_down_accounts() == 0


@only_stripe
def test_a_refund_that_ends_its_workers_is_not_scheduled_again(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    assert execution.claim(refund, Operation.REFUND)
    past = timezone.now() - timedelta(seconds=1)
    Refund.objects.filter(pk=refund.pk).update(lease_until=past, unfinished=3)
    assert sweeps.expire_leases() == 1
    refund.refresh_from_db()
    assert (refund.status, refund.next_action_at) == (Status.UNKNOWN, None)
    assert Attention.objects.get(refund=refund).kind == AttentionKind.STUCK
    assert sweeps.look_up_due() == 0


@only_stripe
def test_a_row_that_breaks_a_sweep_keeps_no_other_from_it(desk: Desk, monkeypatch):
    refunds = [desk.ask(desk.pay(), 2_500) for _number in range(3)]
    for refund in refunds:
        assert execution.claim(refund, Operation.REFUND)
    past = timezone.now() - timedelta(minutes=1)
    broken = refunds[0]
    Refund.objects.update(lease_until=past)
    Refund.objects.filter(pk=broken.pk).update(lease_until=past - timedelta(minutes=1))

    def find_none(refund: Refund) -> RefundAttempt | None:
        return None if refund == broken else live_attempt(refund)

    monkeypatch.setattr(sweeps, "live_attempt", find_none)
    with capture_logs() as logs:
        assert sweeps.expire_leases() == 2
    [told] = [entry for entry in logs if entry["event"] == "lease_not_expired"]
    assert (told["refund"], told["exc_info"]) == (str(broken.pk), True)
    assert Refund.objects.get(status=Status.SENDING) == broken
    monkeypatch.undo()
    assert sweeps.expire_leases() == 1
