"""sync_transactions, and the tasks that do the same for beat and for the button."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event, Timer
from urllib.parse import urlsplit, urlunsplit

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from gateways.base import BadRecord
from gateways.models import ProcessorAccount
from refunds import sync_tasks
from refunds.management import console
from refunds.management.commands import sync_transactions
from refunds.models import Refund
from refunds.sync import SyncReport, sync_account
from tests.waiting import wait_until
from transactions.models import SyncState, Transaction
from transactions.streams import SyncFailed, single_flight

from .desk import ACCOUNTS, Desk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desks(sandbox):
    """All four processors with some payments and refunds."""
    sandbox.reset(seed=2, payments=200)
    return [Desk(sandbox, processor, ask=None) for processor in ACCOUNTS]


@pytest.fixture
def broken(desks):
    """The first of the accounts, with credentials that nobody takes."""
    account = desks[0].account
    account.set_credentials({"api_key": "sk_test_wrong"})
    account.save()
    return account


def rows_of(table: str) -> dict[tuple[str, str], list[int]]:
    """{(account, part): [new, changed, unchanged, refused]} of the printed table."""
    row = re.compile(
        r"^\s*(\S+)\s+(payments|details|refunds)\s+([\d,]+)\s+([\d,]+)\s+([\d,]+)\s+([\d,]+)\s*$"
    )
    found = (row.match(line) for line in table.splitlines())
    return {
        (match[1], match[2]): [int(match[n].replace(",", "")) for n in (3, 4, 5, 6)]
        for match in found
        if match
    }


def test_the_table_says_what_came_in_from_every_account(desks, capsys):
    call_command("sync_transactions")
    out = capsys.readouterr().out
    table = rows_of(out)
    assert {account for account, _part in table} == set(ACCOUNTS.values())
    assert (
        sum(table[name, "payments"][0] for name in ACCOUNTS.values()) == Transaction.objects.count()
    )
    assert (
        sum(table[name, "refunds"][0] for name in ACCOUNTS.values()) == Refund.objects.count() > 0
    )
    assert not Transaction.objects.filter(has_details=False).exists()
    call_command("sync_transactions", since="2000-01-01")
    again = rows_of(capsys.readouterr().out)
    assert all(numbers[:2] == [0, 0] for numbers in again.values())
    assert all(again[name, "payments"][2] > 0 for name in ACCOUNTS.values())


def test_one_account_alone(desks, capsys):
    call_command("sync_transactions", account="nmi-main", since="2026-01-01T00:00:00+02:00")
    assert {account for account, _part in rows_of(capsys.readouterr().out)} == {"nmi-main"}
    assert SyncState.objects.filter(account__slug="nmi-main").count() == 2
    assert SyncState.objects.count() == 2


def test_reasons_for_refused_records_are_listed(sandbox, capsys):
    desk = Desk(sandbox, "nmi", ask=None)
    for _ in range(2):
        made = desk.post("payments", account=desk.name, amount_minor=500, status="settled")
    desk.post("refunds", payment_id=made["payment"]["id"], amount_minor=100)
    call_command("sync_transactions")
    out = capsys.readouterr().out
    assert rows_of(out)["nmi-main", "refunds"] == [0, 0, 0, 1]
    assert "do not single one out. Look it up at the processor." in out


def test_a_failed_account_is_named_in_one_sentence_and_the_others_go_on(desks, broken, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("sync_transactions")
    assert ended.value.code == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("stripe-main: ")
    assert "sk_test_wrong" not in captured.out + captured.err
    assert {account for account, _part in rows_of(captured.out)} == set(ACCOUNTS.values()) - {
        "stripe-main"
    }


def test_a_missing_credential_and_an_unreachable_processor_are_sentences(desks, capsys):
    first, second, *_others = (desk.account for desk in desks)
    first.set_credentials({})
    first.save()
    second.base_url = "http://127.0.0.1:9"
    second.save()
    with pytest.raises(SystemExit):
        call_command("sync_transactions")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["paypal-main", "stripe-main"]
    assert "lacks api_key" in lines[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"since": "yesterday"}, r"--since 'yesterday' is not a time such as 2026-07-01"),
        ({"since": "2026-13-01"}, r"--since '2026-13-01' is not a time"),
        ({"since": "2999-01-01"}, r"lies in the future or before the year 2000"),
        ({"since": "1999-12-31T23:59:59Z"}, r"lies in the future or before the year 2000"),
        ({"account": "shep"}, r"There is no account 'shep'\. Known: .*stripe-main"),
    ],
)
def test_bad_options_are_sentences(desks, options, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("sync_transactions", **options)


def test_without_any_account_it_says_what_to_do(transactional_db):
    with pytest.raises(CommandError, match=r"No account is active\. Add one with"):
        call_command("sync_transactions")


def environment_of_a_command() -> dict[str, str]:
    address = urlsplit(os.environ["DATABASE_URL"])
    database = urlunsplit(address._replace(path=f"/{connection.settings_dict['NAME']}"))
    return os.environ | {"DATABASE_URL": database, "TERM": "xterm", "COLUMNS": "120"}


def test_many_reasons_are_cut_short(desks, capsys, monkeypatch):
    def refuse(*_args, **_options) -> SyncReport:
        report = SyncReport()
        for number in range(25):
            report.payments.reject(BadRecord(f"ch_{number}", "It is odd."))
        return report

    monkeypatch.setattr(sync_transactions, "sync_account", refuse)
    call_command("sync_transactions", account="stripe-main")
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-2:] == [
        "stripe-main: payments ch_19: It is odd.",
        "stripe-main: payments: 5 more were refused.",
    ]


def test_it_waits_for_a_run_that_is_under_way_but_not_for_ever(desks, capsys, monkeypatch):
    held, release = Event(), Event()

    def hold() -> None:
        try:
            with single_flight(desks[3].account):
                held.set()
                release.wait(20)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(hold)
        assert held.wait(10)
        monkeypatch.setattr(console, "_PATIENCE_SECONDS", 0)
        with pytest.raises(SystemExit):
            call_command("sync_transactions", account="nmi-main")
        assert capsys.readouterr().err.startswith("nmi-main: Another sync")
        monkeypatch.setattr(console, "_PATIENCE_SECONDS", 20)
        Timer(0.3, release.set).start()
        call_command("sync_transactions", account="nmi-main")
        other.result()
    assert Transaction.objects.exists()


def test_ctrl_c_is_a_sentence(desks, monkeypatch):
    def interrupt(*_args, **_options) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sync_transactions, "sync_account", interrupt)
    with pytest.raises(CommandError, match=r"Stopped\. The next run goes on from there\."):
        call_command("sync_transactions")


def test_colours_can_be_forced(desks, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    call_command("sync_transactions", account="stripe-main")
    out = capsys.readouterr().out
    assert "\x1b[" in out
    assert "stripe-main payments" in out
    assert "100%" in out


def test_on_a_terminal_it_shows_bars(desks):
    ours, theirs = pty.openpty()
    command = [sys.executable, "manage.py", "sync_transactions", "--account", "stripe-main"]
    process = subprocess.Popen(
        command,
        stdout=theirs,
        stderr=theirs,
        env=environment_of_a_command(),
        cwd=Path(__file__).resolve().parents[2],
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the terminal's other end is closed
            break
    os.close(ours)
    assert process.wait(30) == 0, shown.decode()
    assert "stripe-main payments" in shown.decode()
    assert "100%" in shown.decode()
    assert " read" in shown.decode()


# --- one run, and the tasks --------------------------------------------------------------------


def test_a_run_reports_its_progress_part_by_part(desks):
    told: list[tuple[str, float]] = []
    account = ProcessorAccount.objects.get(slug="authorizenet-us")
    sync_account(account, on_progress=lambda part, _counts, share: told.append((part, share)))
    assert list(dict.fromkeys(part for part, _share in told)) == ["payments", "details", "refunds"]
    for part in ("payments", "details", "refunds"):
        shares = [share for each, share in told if each == part]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


def test_the_task_pulls_active_accounts_and_leaves_paused_ones_alone(desks, broken):
    paused, off, last = (desk.account for desk in desks[1:])
    paused.paused_reason = "The key was revoked."
    paused.save()
    off.is_active = False
    off.save()
    sync_tasks.sync_all_accounts()
    states = SyncState.objects.filter(stream="payments")
    assert set(states.values_list("account__slug", flat=True)) == {broken.slug, last.slug}
    assert states.get(account=broken).error
    assert Transaction.objects.filter(account=last).exists()


def test_the_task_for_the_button_pulls_one_account_also_a_paused_one(desks):
    account = desks[3].account
    account.paused_reason = "The key was revoked."
    account.save()
    sync_tasks.sync_account(account.pk)
    assert Transaction.objects.filter(account=account).exists()


def test_the_task_leaves_a_run_that_is_under_way_alone(desks):
    account = desks[3].account

    def run() -> None:
        try:
            sync_tasks.sync_account(account.pk)
            with pytest.raises(SyncFailed, match="Another sync"):
                sync_account(account)
        finally:
            connections.close_all()

    with single_flight(account), ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
    assert not Transaction.objects.exists()


def test_the_task_may_look_back_further(desks):
    account = desks[3].account
    SyncState.objects.create(account=account, stream="payments", synced_until=timezone.now())
    sync_tasks.sync_all_accounts(days=400)
    oldest = Transaction.objects.filter(account=account).earliest("created_at")
    assert oldest.created_at < timezone.now() - timedelta(days=1)


def test_the_time_limit_ends_the_task(desks, monkeypatch):
    asked: list[str] = []

    def run_out_of_time(account, **_options) -> None:
        asked.append(account.slug)
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(sync_tasks, "run_sync", run_out_of_time)
    with pytest.raises(SoftTimeLimitExceeded):
        sync_tasks.sync_all_accounts()
    assert asked == ["authorizenet-us"]


def test_a_bug_in_reading_one_account_keeps_no_other_out(desks):
    first, *others = ProcessorAccount.objects.all()
    ProcessorAccount.objects.filter(pk=first.pk).update(encrypted_credentials="ÿ")
    sync_tasks.sync_all_accounts()
    assert set(Transaction.objects.values_list("account__slug", flat=True)) == {
        account.slug for account in others
    }


def test_a_real_worker_syncs_on_demand(desks, celery_worker_process):
    sync_tasks.sync_account.delay(desks[3].account.pk)
    refunds = SyncState.objects.filter(account=desks[3].account, stream="refunds")
    wait_until(lambda: refunds.filter(finished_at__isnull=False).exists(), seconds=30)
    assert Transaction.objects.filter(account=desks[3].account).exists()


def test_limits_of_the_tasks_are_their_own():
    for task in (sync_tasks.sync_account, sync_tasks.sync_all_accounts):
        assert task.soft_time_limit == 3300
        assert task.time_limit == 3600
        assert task.acks_late is False
