"""What comes after the bad luck: everything works again, time passes, people look at cases."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q

from gateways.accounts import check_account
from gateways.models import ProcessorAccount
from refunds.models import Refund
from refunds.states import HOLDABLE, Status

from .judges import decide, rule
from .world import World

_ALONE = timedelta(hours=3)  # without anybody looking
_PATIENCE = timedelta(days=12)  # a weekend, settlement, and every rule of waiting
_LATEST = timedelta(hours=4)  # until every list of a processor shows every refund
_DUE = """
SELECT least(
  (SELECT min(next_action_at) FROM refunds_refund WHERE status IN ('queued', 'unknown', 'pending')),
  (SELECT min(lease_until) FROM refunds_refund WHERE status = 'sending'),
  (SELECT min(next_try_at) FROM refunds_webhookevent WHERE state IN ('received', 'failed'))
) - now()
"""


def heal(world: World) -> None:
    """Bring every refund to its end by the ordinary means: sweeps, look-ups, comparison, people."""
    world.tell("— everything works again —")
    world.processors.clear_faults()
    world.rejected = False
    User.objects.update(is_active=True)
    while world.stopped:
        world.attempt(world.stopped.pop()[0].wake)
    account = ProcessorAccount.objects.get(pk=world.account.pk)
    world.attempt(lambda: check_account(account))
    passed = _wait(world, _ALONE)
    while passed < _PATIENCE and any(refund.status in HOLDABLE for refund in _open()):
        decide(world)
        sweep(world, "sync-all-accounts", "reconcile")
        rule(world)
        passed += _wait(world, timedelta(hours=12))
    world.let_time_pass(_LATEST)
    # As every night, but no further back than this business exists.
    days = {"days": world.age.days + 1}
    world.work(("refunds.tasks.reconcile_all_accounts", [], days))
    sweep(world)
    world.tell(f"— {passed} later —")


def sweep(world: World, *more: str) -> None:
    """One round of the sweeps (and ``more`` of beat), and all that workers find to do then."""
    known = world.broker.of_beat()
    for name in (*world.broker.often(), *more):
        world.work(known[name])
    world.drain()


def _wait(world: World, most: timedelta) -> timedelta:
    """Let time pass from one thing that is due to the next, until nothing is; how long it was."""
    passed = timedelta()
    sweep(world)
    while (wait := _next_due()) is not None and passed < most:
        step = max(wait, timedelta(seconds=1)) + timedelta(milliseconds=1)
        step = min(step, most - passed) if passed < most else step
        world.let_time_pass(step)
        passed += step
        sweep(world)
    if passed < most and _open():
        world.let_time_pass(most - passed)
        passed = most
        sweep(world)
    return passed


def _next_due() -> timedelta | None:
    with connection.cursor() as cursor:
        cursor.execute(_DUE)
        (wait,) = cursor.fetchone()
    due: timedelta | None = wait
    return due


def _open() -> list[Refund]:
    ended = Q(status__in=[Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.RETURNED])
    return list(Refund.objects.exclude(ended))
