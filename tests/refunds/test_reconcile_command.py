"""reconcile and recover, as somebody at a terminal sees them, and the tasks for beat."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateways.models import ProcessorAccount
from refunds import sync_tasks
from refunds.execution import send_refund
from refunds.models import Reconciliation
from tests.waiting import wait_until

from .desk import ACCOUNTS, Desk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desks(sandbox, ask) -> list[Desk]:
    """All four processors; each made one refund of ours."""
    desks = [Desk(sandbox, processor, ask) for processor in ACCOUNTS]
    for desk in desks:
        send_refund(desk.ask(desk.pay(), 1_000).pk)
    return desks


def run(command: str, **options: str) -> int:
    try:
        call_command(command, **options)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def rows_of(table: str) -> dict[str, list[int]]:
    """{account: [compared, equal, recorded, followed, awaited, differs, no payment, missing,

    no answer, needs a person]}"""
    row = re.compile(r"^\s*(\S+-\S+)((?:\s+[\d,]+){10})\s*$")
    found = (row.match(line) for line in table.splitlines())
    return {match[1]: [int(each) for each in match[2].split()] for match in found if match}


def test_all_is_well(desks, capsys):
    assert run("reconcile") == 0
    table = rows_of(capsys.readouterr().out)
    assert table == {name: [1, 1, 0, 0, 0, 0, 0, 0, 0, 0] for name in ACCOUNTS.values()}


def test_what_needs_a_person_ends_it_with_one_until_the_case_is_closed(desks, capsys):
    transaction = desks[0].pay()
    desks[0].post("refunds", payment_id=transaction.external_id, amount_minor=500)
    assert run("reconcile") == 1
    captured = capsys.readouterr().out
    assert rows_of(captured)["stripe-main"] == [2, 1, 1, 0, 0, 0, 0, 0, 0, 1]
    assert "Some refunds need a person" in captured
    assert run("reconcile", account="stripe-main") == 1
    assert rows_of(capsys.readouterr().out) == {"stripe-main": [2, 2, 0, 0, 0, 0, 0, 0, 0, 1]}
    assert run("reconcile", account="nmi-main") == 0


def test_another_amount_at_the_processor_has_a_column_and_needs_a_person(desks, capsys):
    with desks[0].sandbox.ledger.lock:
        for made in desks[0].sandbox.ledger.refunds.values():
            if made.account == "stripe-main":
                made.amount_minor = 900
    for _ in range(2):
        assert run("reconcile", account="stripe-main") == 1
        assert rows_of(capsys.readouterr().out)["stripe-main"][5:] == [1, 0, 0, 0, 1]


def refund_without_payment(desk: Desk) -> None:
    """By hand at NMI, whose refunds name no payment, where two payments fit."""
    for _ in range(2):
        transaction = desk.pay()
    desk.post("refunds", payment_id=transaction.external_id, amount_minor=500)


def test_a_refund_that_fits_no_payment_has_a_column_and_needs_a_person(desks, capsys):
    refund_without_payment(desks[3])
    assert run("reconcile", account="nmi-main") == 1
    assert rows_of(capsys.readouterr().out)["nmi-main"][5:] == [0, 1, 0, 0, 1]


def test_history_that_fits_no_payment_is_in_its_column_and_needs_nobody(desks, capsys):
    refund_without_payment(desks[3])
    desks[3].account.created_at = timezone.now() + timedelta(hours=1)
    desks[3].account.save()
    assert run("reconcile", account="nmi-main") == 0
    assert rows_of(capsys.readouterr().out)["nmi-main"][5:] == [0, 1, 0, 0, 0]


def test_a_processor_that_cannot_be_read_is_a_sentence_and_the_others_go_on(desks, capsys):
    ProcessorAccount.objects.filter(slug="paypal-main").update(base_url="http://127.0.0.1:9")
    broken = desks[0].account
    broken.set_credentials({})
    broken.save()
    assert run("reconcile") == 2
    captured = capsys.readouterr()
    assert [line.split(":")[0] for line in captured.err.splitlines()] == [
        "paypal-main",
        "stripe-main",
    ]
    assert "lacks api_key" in captured.err
    assert set(rows_of(captured.out)) == {"authorizenet-us", "nmi-main"}


def test_it_goes_back_as_far_as_it_is_told(desks):
    run("reconcile", account="stripe-main", since="2026-01-01")
    assert Reconciliation.objects.get().since.isoformat() == "2026-01-01T00:00:00+00:00"


def test_it_goes_back_to_a_time_of_any_zone(desks):
    run("reconcile", account="stripe-main", since="1999-12-31T23:59:59-23:00")
    assert Reconciliation.objects.get().since.isoformat() == "2000-01-01T22:59:59+00:00"


@pytest.mark.parametrize("command", ["reconcile", "recover", "sync_transactions"])
@pytest.mark.parametrize(
    "since",
    [
        "",
        "2026-W10",
        "2026-W10-1",
        "20260301",
        "20260301T120000Z",
        "2026-03-01T12Z",
        "2026-03-01T12:00:00+24:00",
        "٢٠٢٦-٠٣-٠١",
        " 2026-03-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_time_is_a_sentence(transactional_db, command, since):
    with pytest.raises(CommandError, match="is not a time such as 2026-07-01 or") as ended:
        call_command(command, since=since)
    assert ended.value.returncode == 2


@pytest.mark.parametrize("command", ["reconcile", "recover"])
def test_bad_options_are_sentences(transactional_db, command):
    with pytest.raises(CommandError, match=r"--since 'once' is not a time such as") as ended:
        call_command(command, since="once")
    assert ended.value.returncode == 2
    with pytest.raises(CommandError, match="lies in the future") as ended:
        call_command(command, since="2999-01-01")
    assert ended.value.returncode == 2


def test_an_account_that_is_not_there_is_no_work_for_a_person(transactional_db):
    with pytest.raises(CommandError, match="There is no account 'nope'") as ended:
        call_command("reconcile", account="nope")
    assert ended.value.returncode == 2


def test_without_any_account_it_says_what_to_do(transactional_db):
    with pytest.raises(CommandError, match=r"No account is active\. Add one with") as ended:
        call_command("reconcile")
    assert ended.value.returncode == 2


@pytest.mark.parametrize(
    ("command", "words"),
    [("reconcile", "goes on from there"), ("recover", "What is not free stays held")],
)
def test_ctrl_c_is_a_sentence(desks, monkeypatch, command, words):
    def interrupt(*_args, **_options) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"refunds.management.commands.{command}.wait_for_turn", interrupt)
    with pytest.raises(CommandError, match=words) as ended:
        call_command(command, since="2026-01-01")
    assert ended.value.returncode == 2


# --- beat --------------------------------------------------------------------------------------


def test_the_task_compares_active_accounts_and_leaves_paused_ones_alone(desks):
    ProcessorAccount.objects.filter(slug="paypal-main").update(paused_reason="Revoked.")
    ProcessorAccount.objects.filter(slug="nmi-main").update(is_active=False)
    sync_tasks.reconcile_all_accounts(days=35)
    done = Reconciliation.objects.filter(finished_at__isnull=False)
    assert set(done.values_list("account__slug", flat=True)) == {"stripe-main", "authorizenet-us"}
    assert all(timezone.now() - row.since > timedelta(days=34) for row in done)


def test_one_account_that_breaks_keeps_no_other_out(desks):
    ProcessorAccount.objects.filter(slug="authorizenet-us").update(encrypted_credentials="ÿ")
    ProcessorAccount.objects.filter(slug="nmi-main").update(base_url="http://127.0.0.1:9")
    sync_tasks.reconcile_all_accounts()
    done = Reconciliation.objects.filter(finished_at__isnull=False)
    assert set(done.values_list("account__slug", flat=True)) == {"stripe-main", "paypal-main"}


def test_the_time_limit_ends_the_task(desks, monkeypatch):
    def run_out_of_time(*_args, **_options) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(sync_tasks, "reconcile", run_out_of_time)
    with pytest.raises(SoftTimeLimitExceeded):
        sync_tasks.reconcile_all_accounts()


def test_a_real_worker_compares(desks, celery_worker_process):
    sync_tasks.reconcile_all_accounts.delay()
    done = Reconciliation.objects.filter(finished_at__isnull=False)
    wait_until(lambda: done.count() == 4, seconds=60)


def test_beat_compares_every_hour_and_far_back_every_night():
    entries = settings.CELERY_BEAT_SCHEDULE
    hourly, nightly = entries["reconcile"], entries["reconcile-further-back"]
    assert hourly["task"] == nightly["task"] == "refunds.tasks.reconcile_all_accounts"
    assert (hourly["kwargs"], nightly["kwargs"]) == ({}, {"days": 35})
    assert settings.CELERY_TASK_ROUTES[hourly["task"]] == {"queue": "bulk"}
    assert hourly["options"]["expires"] == 3600
