"""Faults of clocks and accounts: a clock that is off, keys revoked or changed, live and test mixed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.accounts import check_account
from gateways.base import Operation
from gateways.errors import Misconfigured
from gateways.registry import open_gateway
from refunds.delivery import claim
from refunds.models import Attention, AttentionKind
from refunds.states import AttemptState, Status
from refunds.sweeps import expire_leases
from refunds.turns import LEASE
from tests.refunds.desk import KEYED
from tests.scripts import run_script

from .play import assert_agreement, due, looked_up, sent

keyed = pytest.mark.parametrize("desk", KEYED, indirect=True)
only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@only_stripe
@pytest.mark.parametrize("minutes", [-10, 10])
def test_f25_a_worker_whose_clock_is_off_changes_no_schedule(desk, minutes):
    """Python's own clocks are shifted in the worker's process; the database's is right."""
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    leased = desk.ask(desk.pay(), 2_500)
    assert claim(leased, Operation.REFUND)
    desk.arm("refund", "reset", "after")
    due(refund)
    run_script(
        f"""
import datetime as module
from django.utils import timezone
right = timezone.now
timezone.now = lambda: right() + module.timedelta(minutes={minutes})
from refunds import execution, sweeps
execution.send_refund("{refund.pk}")
assert sweeps.expire_leases() == 0
assert sweeps.publish_due() == 0
assert sweeps.look_up_due() == 0
assert sweeps.flag_overdue() == 0
"""
    )
    refund.refresh_from_db()
    assert refund.status == Status.UNKNOWN
    now = timezone.now()
    assert now < refund.next_action_at < now + timedelta(seconds=15)
    assert abs(refund.unknown_since - now) < timedelta(seconds=15)
    attempt = refund.attempts.get()
    moments = (attempt.started_at, attempt.ended_at, attempt.first_sent_at, attempt.last_sent_at)
    for moment in moments:
        assert abs(moment - now) < timedelta(seconds=15)
    assert expire_leases() == 0
    leased.refresh_from_db()
    assert timedelta() < leased.lease_until - now <= LEASE
    looked_up(refund)
    assert_agreement(desk, transaction, 2_500)


def change_credentials(desk, **values: str) -> None:
    credentials = desk.sandbox.ledger.accounts[desk.name].credentials
    desk.account.set_credentials(credentials | values)
    desk.account.save()


WRONG = {
    "stripe": {"api_key": "sk_test_revoked"},
    "paypal": {"client_secret": "revoked"},
    "authorizenet": {"transaction_key": "revoked"},
    "nmi": {"security_key": "revoked"},
}


def test_f36_revoked_credentials_pause_the_account_once(desk):
    transaction = desk.pay()
    refunds = [desk.ask(transaction, minor) for minor in (100, 200, 300)]
    change_credentials(desk, **WRONG[desk.processor])
    for refund in refunds:
        assert sent(refund).status == Status.QUEUED
    desk.account.refresh_from_db()
    assert desk.account.paused_reason
    assert Attention.objects.get(account=desk.account).kind == AttentionKind.ACCOUNT_PAUSED
    assert sum(refund.attempts.count() for refund in refunds) == 1  # no storm
    assert desk.given_back(transaction) == []
    change_credentials(desk)
    check_account(desk.account)
    for refund in refunds:
        assert sent(refund).status == Status.SUCCEEDED
    assert_agreement(desk, transaction, 100, 200, 300)


@keyed
def test_f37_other_credentials_look_up_and_never_send_again(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "reset", "before")
    assert sent(refund).status == Status.UNKNOWN
    change_credentials(desk, webhook_secret="another", webhook_id="ANOTHER")
    asked = desk.calls("refund")
    looked_up(refund)
    assert refund.status == Status.UNKNOWN
    assert desk.calls("refund") == asked
    assert refund.attempts.get().state == AttemptState.AMBIGUOUS
    assert desk.sums(transaction) == (2_500, 0)


@only_stripe
def test_f38_a_key_of_the_other_mode_sends_nothing(desk):
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    change_credentials(desk, api_key="sk_live_0123456789abcdefghijklmn")
    before = len(desk.sandbox.ledger.requests)
    assert sent(refund).status == Status.FAILED
    assert "test" in refund.failure_message
    assert len(desk.sandbox.ledger.requests) == before


def test_f38_a_live_account_never_speaks_to_a_test_host(desk):
    desk.account.mode = "live"
    with pytest.raises(Misconfigured):
        open_gateway(desk.account)
