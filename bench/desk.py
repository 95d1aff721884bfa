"""How fast the desk answers with a million payments, beside a stock ModelAdmin on the same rows.

Everything in one process that does what a web process does, from the first middleware to the last;
the files and the campaign in processes of their own, to read their memory.
BENCH_ROWS says how many payments there are (1,000,000), BENCH_CAMPAIGN how many one campaign has.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import django
from rich.console import Console
from rich.table import Table

from .stage import Stage

ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
CAMPAIGN = int(os.environ.get("BENCH_CAMPAIGN", "10000"))
ROUNDS = 15
SEARCH, SEARCHED = "searched for part of an e-mail", "?q=c1234%40exam"
LIST = "/admin/transactions/transaction/"
Line = tuple[str, str, str]

_PAYMENTS = """
INSERT INTO transactions_transaction (account_id, processor, mode, external_id, related_ids,
  currency, amount_minor, refunded_minor, reserved_minor, over_refunded, status, disputed,
  method_type, brand, last4, wallet, customer_id, customer_name, customer_email, order_reference,
  description, created_at, has_details, synced_at)
SELECT account.id, account.processor, 'test', 'ch_' || md5(n::text), 'pi_' || md5((n + 1)::text),
  (ARRAY['USD', 'EUR', 'GBP', 'PLN'])[1 + n %% 4], 500 + (n::bigint * 7919) %% 40000, 0, 0, false,
  CASE WHEN n %% 25 = 0 THEN 'voided' WHEN n %% 10 = 0 THEN 'captured' ELSE 'settled' END,
  n %% 500 = 0, 'card', (ARRAY['visa', 'mastercard', 'amex'])[1 + n %% 3],
  lpad((n %% 10000)::text, 4, '0'), CASE WHEN n %% 50 = 0 THEN 'apple_pay' ELSE '' END,
  customer.id, customer.name, customer.email, 'R-' || n, 'Order of ' || customer.name,
  now() - n * interval '31 seconds', true, now()
FROM generate_series(1, %s) AS n
JOIN gateways_processoraccount AS account ON account.slug = 'shop-' || n %% 4
JOIN transactions_customer AS customer ON customer.email = 'c' || n %% %s || '@example.com'
"""
_CUSTOMERS = """
INSERT INTO transactions_customer (email, name, locale, created_at)
SELECT 'c' || n || '@example.com', 'Customer ' || md5(n::text), '', now()
FROM generate_series(0, %s - 1) AS n
"""


def main() -> None:
    """Measure in a process of its own, which knows no settings yet."""
    subprocess.run([sys.executable, "-m", "bench.desk"], check=True)


def measure() -> None:
    """Fill a database, measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="refund-desk-bench-") as name:
        stage = Stage(Path(name))
        try:
            stage.open()
            os.environ.update(stage.environment)
            _set_up()
            _fill()
            lines = [*_pages(), *_elsewhere("csv", "xlsx", "campaign")]
        finally:
            stage.close()
    table = Table(title=f"The desk with {ROWS:,} payments")
    for heading in ("what", "measured", "target"):
        table.add_column(heading)
    for line in lines:
        table.add_row(*line)
    Console(width=120).print(table)


def _set_up() -> None:
    """As in production: with DEBUG every query is kept. The settings were read with it."""
    from django.conf import settings

    django.setup()
    settings.DEBUG = False
    logging.disable(logging.INFO)


def _fill() -> None:
    from django.db import connection

    from access.demo import create_people
    from gateways.models import ProcessorAccount

    create_people()
    for number, processor in enumerate(("stripe", "paypal", "authorizenet", "nmi")):
        ProcessorAccount.objects.create(slug=f"shop-{number}", processor=processor, mode="test")
    customers = max(ROWS // 5, 1)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(_CUSTOMERS, [customers])
        cursor.execute(_PAYMENTS, [ROWS, customers])
        cursor.execute("SELECT gin_clean_pending_list('transaction_search')")
        cursor.execute("VACUUM ANALYZE")


def _pages() -> Iterator[Line]:
    """Server time of the pages: the median of some rounds, and how many statements each needs."""
    from transactions.models import Transaction

    payment = Transaction.objects.order_by("-created_at")[100]
    deep = Transaction.objects.order_by("-created_at")[ROWS // 2]
    place = f"older.{int(deep.created_at.timestamp() * 10**6)}.{deep.pk}"
    day = f"{payment.created_at:%Y-%m-%d}"
    ours = {
        "the table": (LIST, 80),
        "filtered by account, state and day": (
            f"{LIST}?account=shop-1&refund_state=none&created_before={day}",
            80,
        ),
        "a page in the middle, by its key": (f"{LIST}?p={place}", 80),
        SEARCH: (f"{LIST}{SEARCHED}", 120),
        "perhaps charged twice": (f"{LIST}?duplicate=true", 80),
        "the dialog": (f"{LIST}{payment.pk}/refund/", 60),
        "a payment's page": (f"{LIST}{payment.pk}/change/", 80),
    }
    times = {name: _time(address) for name, (address, _target) in ours.items()}
    for name, (took, statements) in times.items():
        yield name, f"{took:.0f} ms, {statements} statements", f"{ours[name][1]} ms"
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "bench.stock_settings"}
    command = [sys.executable, "-m", "bench.desk", "stock"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    for name, (took, statements) in json.loads(answer.stdout.splitlines()[-1]).items():
        ratio = took / times[name][0]
        told = f"{took:,.0f} ms, {statements} statements: {ratio:.0f} times as long"
        yield f"stock ModelAdmin: {name}", told, "10 times"


def _stock() -> dict[str, tuple[float, int]]:
    return {"the table": _time(LIST, rounds=3), SEARCH: _time(f"{LIST}{SEARCHED}", rounds=3)}


def _time(address: str, rounds: int = ROUNDS) -> tuple[float, int]:
    """Milliseconds (median) and statements of a page that has been asked for before."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username="manager"))
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200, address
        statements = len(captured)  # the next request empties the log
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        client.get(address)
        times.append((time.perf_counter() - started) * 1000)
    return median(times), statements


def _elsewhere(*names: str) -> Iterator[Line]:
    for name in names:
        command = [sys.executable, "-m", "bench.desk", name]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        yield tuple(json.loads(answer.stdout.splitlines()[-1]))


def _export(write: Callable[[Any, Any], None], kind: str) -> Line:
    from transactions.models import Transaction

    before = _peak()
    started = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        write(Transaction.objects.all(), file)
        size = file.tell() / 2**20
    took = time.perf_counter() - started
    told = f"{took:.0f} s, {size:.0f} MB; memory {before:.0f} → {_peak():.0f} MB"
    return f"{ROWS:,} rows as {kind}", told, "constant memory"


def _csv() -> Line:
    from transactions.exports import csv_lines

    return _export(lambda rows, file: file.writelines(csv_lines(rows)), "CSV")


def _xlsx() -> Line:
    from transactions.exports import write_xlsx

    return _export(write_xlsx, "XLSX")


def _campaign() -> Line:
    """How long a worker takes to ask for a campaign's refunds, its dry run before that aside."""
    from django.contrib.auth.models import User

    from campaigns import running, services
    from campaigns.models import Campaign, ItemState
    from refunds.models import Refund, RefundReason

    maker = User.objects.get(username="manager")
    second = User.objects.get(username="approver")
    campaign = Campaign(
        name="Outage",
        percent=1,
        reason=RefundReason.objects.get(code="service_issue"),
        most_refunds=50_000,
        most_money=10**12,
    )
    lines = [
        services.Named(external_id)
        for external_id in _newest("shop-1").values_list("external_id", flat=True)[:CAMPAIGN]
    ]
    services.make(campaign, lines, actor=maker)
    started = time.perf_counter()
    while campaign.state == "preparing":
        running.work(campaign.pk)
        campaign.refresh_from_db()
    looked = time.perf_counter() - started
    services.start(campaign, actor=second)
    started = time.perf_counter()
    while campaign.items.filter(state=ItemState.INCLUDED).exists():
        running.work(campaign.pk)
    took = time.perf_counter() - started
    told = f"dry run {looked:.0f} s, {Refund.objects.count():,} refunds queued in {took:.0f} s"
    return f"a campaign of {CAMPAIGN:,}", told, "60 s"


def _newest(slug: str) -> Any:
    from transactions.models import Transaction

    rows = Transaction.objects.filter(account__slug=slug, status="settled", disputed=False)
    return rows.order_by("-created_at")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _set_up()
        one: Any = {"csv": _csv, "xlsx": _xlsx, "campaign": _campaign, "stock": _stock}[sys.argv[1]]
        sys.stdout.write(json.dumps(one()) + "\n")
    else:
        measure()
