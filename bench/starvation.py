"""How long a new refund takes while 5,000 others wait for a processor that does not answer.

The demo's processes, and two sandboxes: one answers; the other, where one account lives, accepts
calls and says nothing. That account also gets new refunds of its own, which hang in the worker of
sends. BENCH_UNKNOWN says how many outcomes are unknown (5,000), BENCH_SECONDS how long it is
watched (60).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from refunds_site import embedded, processes
from refunds_site.supervisor import Service, Supervisor

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from gateways.models import ProcessorAccount
    from refunds.models import Refund, RefundAttempt
    from transactions.models import Transaction

SILENT = "stripe-main"
MEASURED = {"paypal-main": "another processor", "stripe-japan": "another account of the same"}
UNKNOWN = int(os.environ.get("BENCH_UNKNOWN", "5000"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "60"))
HANGING = 20  # new refunds of the silent account
TARGET = 2.0  # seconds for a new refund, whatever happens elsewhere
_names = count(1)


def main() -> None:
    """Measure in peace, then in the storm, and print a table."""
    with tempfile.TemporaryDirectory(prefix="refund-desk-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root runs the servers as another user, who has to get through
        servers = embedded.prepare(folder / "data")
        supervisor = Supervisor(folder / "logs")
        answering, silent = embedded.free_port(), embedded.free_port()
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
            "DEBUG": "1",
            "UNDO_SECONDS": "0",
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "SILENT_URL": f"http://127.0.0.1:{silent}",
        }
        try:
            supervisor.start(
                servers.postgres,
                servers.valkey,
                _sandbox(environment, answering, "sandbox"),
                _sandbox(environment, silent, "silent"),
            )
            for command in (
                ["migrate"],
                ["demo_data", "--sandbox-url", f"http://127.0.0.1:{answering}"],
                ["sync_transactions"],
            ):
                supervisor.run(processes.task(environment, *command))
            supervisor.start(
                processes.worker(environment, queues=processes.SUBMIT),
                processes.background(environment),
                processes.beat(environment, folder / "beat"),
            )
            measured = subprocess.run(
                [sys.executable, "-m", "bench.starvation"],
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            )
        finally:
            supervisor.stop()
    Console(width=110).print(_table(json.loads(measured.stdout)))


def _sandbox(environment: dict[str, str], port: int, name: str) -> Service:
    service = processes.sandbox(environment, port, Path(os.devnull))
    start = service.command.index("sandbox")
    return Service(
        name=name,
        command=[*service.command[:start], "sandbox", "--port", str(port), "--payments", "1500"],
        environment=environment,
        ready=service.ready,
        folder=service.folder,
    )


def measure() -> dict[str, dict[str, list[float]]]:
    """Seconds of new refunds per measured account, in peace and in the storm."""
    import django

    django.setup()
    from django.contrib.auth.models import User

    from gateways.models import ProcessorAccount

    person = User.objects.get(username="manager")
    accounts = {name: ProcessorAccount.objects.get(slug=name) for name in MEASURED}
    peace = {name: [refund_once(accounts[name], person) for _ in range(5)] for name in MEASURED}
    silent = ProcessorAccount.objects.get(slug=SILENT)
    silent.base_url = f"{os.environ['SILENT_URL']}/stripe"
    silent.save()
    _control("POST", {"what": "silence", "seconds": 60, "times": 1_000_000})
    make_unknowns(silent, person, UNKNOWN)
    for _ in range(HANGING):
        ask(silent, person)
    storm: dict[str, list[float]] = {name: [] for name in MEASURED}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for name, account in accounts.items():
            storm[name].append(refund_once(account, person))
        time.sleep(2)
    _control("DELETE", {})  # or the workers would wait for answers before they end
    return {"peace": peace, "storm": storm}


def make_unknowns(account: ProcessorAccount, person: User, number: int) -> None:
    """Payments of the account, each with one refund that was sent and never answered, due now."""
    from django.db import transaction as database

    from refunds.models import Refund, RefundAttempt
    from transactions.models import Transaction

    payments = [_payment(account) for _ in range(number)]
    refunds = [_refund(payment, person) for payment in payments]
    with database.atomic():  # the sums are compared with the refunds at its end
        Transaction.objects.bulk_create(payments, batch_size=500)
        Refund.objects.bulk_create(refunds, batch_size=500)
        RefundAttempt.objects.bulk_create(map(_attempt, refunds), batch_size=500)


def _payment(account: ProcessorAccount) -> Transaction:
    from django.utils import timezone

    from transactions.models import Transaction

    return Transaction(
        account=account,
        processor=account.processor,
        mode=account.mode,
        external_id=f"ch_bench_{next(_names)}",
        currency="USD",
        amount_minor=1_000,
        reserved_minor=1_000,
        status="settled",
        created_at=timezone.now() - timedelta(days=3),
        method_type="card",
        brand="visa",
        last4="4242",
    )


def _refund(payment: Transaction, person: User) -> Refund:
    from django.utils import timezone

    from refunds.models import Refund

    now = timezone.now()
    return Refund(
        transaction=payment,
        account=payment.account,
        mode=payment.mode,
        currency=payment.currency,
        amount_minor=payment.amount_minor,
        origin="staff",
        status="unknown",
        requested_by=person,
        idem_scope="bench",
        idem_key=payment.external_id,
        request_hash=b"0" * 32,
        unknown_since=now,
        fence=1,
        claims=1,
        next_action_at=now,
        created_at=now,
    )


def _attempt(refund: Refund) -> RefundAttempt:
    from gateways.base import Operation
    from refunds.models import RefundAttempt
    from refunds.orders import build_order, dump_order, hash_order

    order = dump_order(build_order(refund, Operation.REFUND, 1))
    return RefundAttempt(
        refund=refund,
        account=refund.account,
        mode=refund.mode,
        credential_fingerprint=refund.account.credential_fingerprint,
        number=1,
        operation=Operation.REFUND,
        reference=order["reference"],
        order=order,
        order_hash=hash_order(order),
        state="ambiguous",
        sends=1,
        fence=1,
        started_at=refund.created_at,
        first_sent_at=refund.created_at,
        last_sent_at=refund.created_at,
        ended_at=refund.created_at,
    )


def ask(account: ProcessorAccount, person: User) -> Refund:
    """A new refund of a whole payment that has none yet."""
    from refunds import decision
    from refunds.models import RefundReason
    from refunds.services import request_refund
    from transactions.models import Transaction

    untouched = Transaction.objects.filter(
        account=account, status="settled", reserved_minor=0, refunded_minor=0
    )
    payment = next(each for each in untouched.order_by("-pk") if not decision.blocked(each))
    refund, _ = request_refund(
        transaction=payment,
        amount=payment.amount,
        reason=RefundReason.objects.get(code="requested_by_customer"),
        note="",
        requested_by=person,
        idempotency_key=f"bench-{next(_names)}",
    )
    return refund


def refund_once(account: ProcessorAccount, person: User) -> float:
    """Ask for a refund and wait for the processor's answer; how many seconds that took."""
    started = time.monotonic()
    refund = ask(account, person)
    while refund.status in {"queued", "sending"}:
        if time.monotonic() - started > SECONDS:
            raise SystemExit(f"A refund through {account} is {refund.status}.")
        time.sleep(0.01)
        refund.refresh_from_db(fields=["status"])
    return time.monotonic() - started


def _control(method: str, wish: dict[str, Any]) -> None:
    url = f"{os.environ['SILENT_URL']}/_sandbox/faults"
    request = urllib.request.Request(url, json.dumps(wish).encode(), method=method)
    with urllib.request.urlopen(request, timeout=10):
        pass


def _table(measured: dict[str, dict[str, list[float]]]) -> Table:
    table = Table(title=f"A new refund beside {UNKNOWN:,} unknown ones (target: {TARGET:g} s)")
    table.add_column("new refund at")
    for column in ("in peace, median s", "in the storm, median s", "worst s", "of", ""):
        table.add_column(column, justify="right")
    for name, what in MEASURED.items():
        storm = measured["storm"][name]
        table.add_row(
            f"{what} ({name})",
            f"{median(measured['peace'][name]):.2f}",
            f"{median(storm):.2f}",
            f"{max(storm):.2f}",
            str(len(storm)),
            "ok" if max(storm) <= TARGET else "ABOVE TARGET",
        )
    return table


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
