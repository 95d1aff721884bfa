"""recover, run again and again until all accounts are free, and after another restore."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateways.base import Operation
from gateways.models import ProcessorAccount
from refunds import recovery
from refunds.attention import raise_case
from refunds.delivery import claim
from refunds.models import Attention
from refunds.recovery import hold_accounts
from refunds.states import Status
from tests.refunds.faults.play import due

from .desk import ACCOUNTS, Desk
from .recovering import an_hour_ago, pass_lag, recover

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desks(sandbox, ask) -> list[Desk]:
    return [Desk(sandbox, processor, ask) for processor in ACCOUNTS]


def test_going_on_frees_account_after_account_and_holds_none_again(desks: list[Desk], capsys):
    code, told = recover(capsys, since=an_hour_ago())
    assert (code, told.count("still held")) == (2, 4)
    assert told.count("manage.py recover (without --since) after") == 4
    for place, desk in enumerate(desks):
        pass_lag(desk.name)
        code, told = recover(capsys)
        assert f"{desk.name}: free again." in told
        assert told.count("free again") == 1
        assert told.count(": free already.") == place
        assert code == (2 if desk is not desks[-1] else 0)
    assert Attention.objects.filter(subject__startswith="held:").count() == 4
    code, told = recover(capsys)
    assert (code, told.count(": free already.")) == (0, 4)
    assert "If the database was restored after that, say since when" in told


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_what_is_free_and_has_cases_ends_with_one(desk: Desk, capsys):
    recover(capsys, since=an_hour_ago())
    payment = desk.pay()
    desk.post("refunds", payment_id=payment.external_id, amount_minor=1_000)
    pass_lag()
    for _ in range(2):
        code, told = recover(capsys)
        assert (code, "Some refunds need a person" in told) == (1, True)


def test_without_a_time_nothing_is_held_for_the_first_time(desks: list[Desk]):
    with pytest.raises(CommandError, match="No account was ever held") as ended:
        call_command("recover")
    assert ended.value.returncode == 2
    assert not ProcessorAccount.objects.exclude(held_reason="").exists()


def test_what_is_held_and_switched_off_is_named(desks: list[Desk], capsys):
    hold_accounts(timezone.now() - timedelta(hours=1))
    ProcessorAccount.objects.exclude(slug=desks[0].name).update(is_active=False)
    pass_lag(desks[0].name)
    code, told = recover(capsys)
    assert (code, told.count("held, and switched off. Switch it on")) == (0, 3)


def test_all_accounts_are_held_or_none_when_it_is_killed(desks: list[Desk], monkeypatch):
    """Those that it had not come to would count as free already when it goes on."""

    def raise_once(*args, **values):
        if Attention.objects.exists():
            raise KeyboardInterrupt
        return raise_case(*args, **values)

    monkeypatch.setattr(recovery, "raise_case", raise_once)
    with pytest.raises(KeyboardInterrupt):
        hold_accounts(timezone.now() - timedelta(hours=1))
    assert not ProcessorAccount.objects.exclude(held_reason="").exists()


def test_after_another_restore_all_is_held_again_whatever_the_time(desks: list[Desk], capsys):
    since = an_hour_ago()
    recover(capsys, since=since)
    pass_lag()
    recover(capsys)
    for again in (since, timezone.now().isoformat()):
        code, told = recover(capsys, since=again)
        assert (code, told.count("still held")) == (2, 4)
    assert Attention.objects.open().filter(subject__startswith="held:").count() == 4


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_going_on_makes_up_for_what_a_killed_run_had_left(desk: Desk, capsys):
    """It held the accounts and came no further."""
    hold_accounts(timezone.now() - timedelta(hours=1))
    refund = desk.ask(desk.pay(), 1_000)
    pass_lag()
    assert recover(capsys)[0] == 0
    refund.refresh_from_db()
    assert refund.look_up_first


def test_going_on_leaves_refunds_of_free_accounts_alone(desks: list[Desk], capsys):
    recover(capsys, since=an_hour_ago())
    pass_lag("stripe-main")
    recover(capsys)
    refund = desks[0].ask(desks[0].pay(), 1_000)
    due(refund)
    refund.refresh_from_db()
    assert claim(refund, Operation.REFUND)
    recover(capsys)
    refund.refresh_from_db()
    assert (refund.status, refund.look_up_first) == (Status.SENDING, False)
