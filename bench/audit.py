"""What the audit trail costs: a row within a refund, four processes at once, a walk of a million.

``python -m bench.audit SECONDS NAME WHAT`` commits in a process of its own, in an environment that
has a database, and prints how many were made and what failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from .stage import Stage

PROCESSES = 4
SECONDS = 20
ROWS = 1_000_000
_TRIES = 400
_PAGES = 15
_COLUMNS = "(kind, actor_name, about_type, about_id, about_name, request_id, data)"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as folder:
        stage = Stage(Path(folder))
        stage.open()
        try:
            import os

            os.environ |= stage.environment
            import django

            django.setup()
            _measure(stage)
        finally:
            stage.close()


def _measure(stage: Stage) -> None:
    from audit.chains import first_break
    from refunds.history import CHAINS

    print("A refund is asked for, p50 of", _TRIES, flush=True)
    for name, milliseconds in measure_rows().items():
        print(f"  {name}: {milliseconds:.2f} ms")
    for what in ("refunds", "events"):
        print(f"{PROCESSES} processes, {SECONDS} s, commits with {what} alone", flush=True)
        for name, value in measure_crowd(stage, what).items():
            print(f"  {name}: {value}", flush=True)
    fill(ROWS)
    for chain in CHAINS:
        started = time.perf_counter()
        found = first_break(chain)
        seconds = time.perf_counter() - started
        print(
            f"Walking {chain.table}: {seconds:.1f} s, {'broken' if found else 'fits'}", flush=True
        )
    print(f"The page over {2 * ROWS:,} rows, server time, p50 of {_PAGES}")
    for query, milliseconds in measure_page().items():
        print(f"  {query or 'the whole log'}: {milliseconds:.0f} ms")
    print(f"Largest resident set: {_peak():.0f} MB")


def measure_rows() -> dict[str, float]:
    """Milliseconds of a whole request, and of the statements in it that write to a chain."""
    ask = _asker("rows")
    from django.db import connection, transaction

    from audit.kinds import Kind
    from audit.log import record

    spent: list[float] = []
    whole = []
    for _try in range(_TRIES):
        with connection.execute_wrapper(_clock("INSERT INTO refunds_refundevent", spent)):
            started = time.perf_counter()
            ask()
            whole.append(time.perf_counter() - started)
    entries: list[float] = []
    for _try in range(_TRIES):
        with (
            connection.execute_wrapper(_clock("INSERT INTO audit_auditentry", entries)),
            transaction.atomic(),
        ):
            record(Kind.EXPORTED, actor=None, data={"what": "payments", "format": "csv"})
    return {
        "the whole request": 1000 * median(whole),
        "the event in it": 1000 * median(spent),
        "an entry of the audit log": 1000 * median(entries),
    }


def _clock(beginning: str, spent: list[float]) -> Callable[..., Any]:
    def clock(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        started = time.perf_counter()
        result = execute(sql, *arguments)
        if sql.startswith(beginning):
            spent.append(time.perf_counter() - started)
        return result

    return clock


def measure_crowd(stage: Stage, what: str) -> dict[str, Any]:
    """Commits per second of all processes together, and what went wrong.

    ``refunds`` are requests as a campaign makes them, without a message to a broker for each;
    ``events`` are what the chain itself takes.
    """
    from audit.chains import first_break
    from refunds.history import CHAINS
    from refunds.models import RefundEvent

    before = RefundEvent.objects.count()
    command = [sys.executable, "-m", "bench.audit", str(SECONDS)]
    crowd = [
        subprocess.Popen(
            [*command, f"{what}-{number}", what], env=stage.environment, stdout=subprocess.PIPE
        )
        for number in range(PROCESSES)
    ]
    told = [json.loads(each.communicate(timeout=SECONDS + 120)[0]) for each in crowd]
    made = sum(each["made"] for each in told)
    rows = RefundEvent.objects.count()
    newest = RefundEvent.objects.latest("sequence").sequence
    return {
        "per second": round(sum(each["made"] / each["seconds"] for each in told)),
        "failed (deadlocks, lock timeouts)": sum(each["failed"] for each in told),
        "events without a row": made - (rows - before),
        "gaps": newest - rows,
        "breaks": sum(bool(first_break(chain)) for chain in CHAINS),
    }


def _asker(name: str, *, is_bulk: bool = False) -> Callable[[], None]:
    """A call that asks for one refund of a payment that was not refunded before."""
    from django.contrib.auth.models import Permission, User
    from django.db import transaction
    from django.utils import timezone

    from gateways.models import ProcessorAccount
    from gateways.money import Money
    from refunds.models import RefundReason
    from refunds.services import request_refund
    from transactions.models import Transaction

    person = User.objects.create_user(f"bench-{name}", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="request_refund"))
    account = ProcessorAccount.objects.create(slug=f"a-{name}", processor="stripe", mode="test")
    reason = RefundReason.objects.get(code="other")
    numbers = count()

    def payments() -> Iterator[Transaction]:
        while True:
            with transaction.atomic():
                rows = Transaction.objects.bulk_create(
                    Transaction(
                        account=account,
                        processor="stripe",
                        mode="test",
                        external_id=f"ch_{name}_{next(numbers)}",
                        currency="USD",
                        amount_minor=1_000,
                        status="settled",
                        created_at=timezone.now(),
                    )
                    for _row in range(500)
                )
            yield from Transaction.objects.filter(pk__in=[row.pk for row in rows])

    waiting = payments()

    def ask() -> None:
        payment = next(waiting)
        request_refund(
            transaction=payment,
            amount=Money(1_000, "USD"),
            reason=reason,
            note="",
            requested_by=person,
            idempotency_key=payment.external_id,
            is_bulk=is_bulk,
        )

    return ask


def _crowd_member(seconds: int, name: str, what: str) -> dict[str, Any]:
    import django

    django.setup()
    from django.db import DatabaseError

    ask, made, failed = _asker(name, is_bulk=True) if what == "refunds" else _teller(), 0, 0
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            ask()
            made += 1
        except DatabaseError:
            failed += 1
    return {"made": made, "failed": failed, "seconds": time.monotonic() - started}


def _teller() -> Callable[[], None]:
    """A call that commits one event."""
    from refunds.history import record_event
    from refunds.models import Refund

    refund = Refund.objects.earliest("created_at")
    return lambda: record_event(refund, "noted", data={"why": "The processor did not answer."})


def fill(rows: int) -> None:
    """Entries until there are so many of both chains, hashed by the database itself."""
    from django.db import connection

    with _patient(), connection.cursor() as cursor:
        for _part in range(rows // 20_000):
            cursor.execute(
                f"INSERT INTO audit_auditentry {_COLUMNS}"
                " SELECT 'person.changed', 'ana', 'auth.user', (n % 500)::text, 'tom',"
                " repeat('f', 32),"
                ' \'{"changed": {"is_active": [true, false], "groups": [["agent"], ["viewer"]]}}\''
                " FROM generate_series(1, 20000) AS n"
            )
            cursor.execute(
                "INSERT INTO refunds_refundevent (refund_id, kind, from_status, to_status, data)"
                " SELECT (SELECT id FROM refunds_refund LIMIT 1), 'not_sent', 'sending', 'queued',"
                ' \'{"why": "The processor could not be reached."}\''
                " FROM generate_series(1, 20000) AS n"
            )
        cursor.execute("ANALYZE audit_auditentry, refunds_refundevent")


@contextmanager
def _patient() -> Iterator[None]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        yield
        cursor.execute("SET statement_timeout = '10s'")


def measure_page() -> dict[str, float]:
    """Milliseconds of the auditors' page, for who sees all of it and for who sees one account."""
    from django.contrib.auth.models import Group, User
    from django.test import Client
    from django.utils import timezone

    from access.models import AccountRole
    from gateways.models import ProcessorAccount
    from refunds.models import Refund

    role = Group.objects.get(name="auditor")
    auditor, scoped = (
        User.objects.create_user(name, is_staff=True) for name in ("marta", "scoped")
    )
    auditor.groups.add(role)
    other = ProcessorAccount.objects.create(slug="other", processor="stripe", mode="test")
    AccountRole.objects.create(user=scoped, role=role, account=other)
    refund = Refund.objects.first()
    middle = int(timezone.now().timestamp() - 30) * 1_000_000
    asked = [
        *((auditor, query) for query in (
            "", f"p=older.{middle}.0", "kind=person", "kind=export", f"actor={auditor.pk}",
            "created_after=2020-01-01", f"q={refund.pk}", "account=other",
        )),
        (scoped, "sees=nothing"),
    ]  # fmt: skip
    found = {}
    for person, query in asked:
        client = Client()
        client.force_login(person)
        seconds = []
        for _try in range(_PAGES):
            started = time.perf_counter()
            answer = client.get(f"/admin/refunds/auditline/?{query}", HTTP_HOST="localhost")
            assert answer.status_code == 200, (query, answer.status_code)
            seconds.append(time.perf_counter() - started)
        found[query] = 1000 * median(seconds)
    return found


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    json.dump(_crowd_member(int(sys.argv[1]), *sys.argv[2:]), sys.stdout)
