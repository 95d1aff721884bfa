"""How fast payments come in from the sandbox, and whether memory stays flat while they do.

Every processor is read by a process of its own, over sockets, into a PostgreSQL that syncs to disk.
BENCH_PAYMENTS says how many payments the sandbox has (60,000; a fifth to a half per processor).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from refunds_site import embedded, processes
from refunds_site.supervisor import Service, Supervisor

ACCOUNTS = {
    "stripe-main": "stripe",
    "paypal-main": "paypal",
    "authorizenet-us": "authorizenet",
    "nmi-main": "nmi",
}
PAYMENTS = int(os.environ.get("BENCH_PAYMENTS", "60000"))
DETAILS = 1_000  # they cost a call each, so a part of them tells the rate
TARGET = 1_000  # payments per second


def main() -> None:
    """Measure all processors and print a table."""
    with tempfile.TemporaryDirectory(prefix="refund-desk-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root runs the servers as another user, who has to get through
        servers = embedded.prepare(folder / "data")
        supervisor = Supervisor(folder / "logs")
        port = embedded.free_port()
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
            "DEBUG": "1",
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "SANDBOX_URL": f"http://127.0.0.1:{port}",
        }
        try:
            supervisor.start(servers.postgres, servers.valkey, _sandbox(environment, port))
            supervisor.run(processes.task(environment, "migrate"))
            results = [_measure_elsewhere(name, environment) for name in ACCOUNTS]
        finally:
            supervisor.stop()
    Console(width=110).print(_table(results))


def _sandbox(environment: dict[str, str], port: int) -> Service:
    service = processes.sandbox(environment, port, Path(os.devnull))
    start = service.command.index("sandbox")
    options = ("sandbox", "--port", str(port), "--payments", str(PAYMENTS))
    return Service(
        name="sandbox",
        command=[*service.command[:start], *options],
        environment=environment,
        ready=service.ready,
        folder=service.folder,
    )


def _measure_elsewhere(name: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.sync", name]
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def measure(name: str) -> dict[str, Any]:
    """Pull one account twice, then some details; rates per second, memory in megabytes."""
    import django

    django.setup()
    from gateways.registry import open_gateway
    from transactions.sync import fetch_details, sync_payments
    from transactions.upsert import SyncCounts

    account = _make_account(name)
    gateway = open_gateway(account)
    memory: list[tuple[int, float]] = []

    def note(counts: SyncCounts, _share: float) -> None:
        memory.append((counts.read, _resident()))

    started = time.perf_counter()
    counts = sync_payments(account, gateway, on_page=note)
    first = time.perf_counter() - started
    started = time.perf_counter()
    again = sync_payments(account, gateway, since=_long_ago())
    second = time.perf_counter() - started
    started = time.perf_counter()
    details = fetch_details(account, gateway, limit=DETAILS)
    detailed = time.perf_counter() - started
    thirds = [max(mb for read, mb in memory if read <= counts.read * n / 3) for n in (1, 2, 3)]
    return {
        "account": name,
        "payments": counts.new,
        "new": counts.read / first,
        "again": again.read / second,
        "changed again": again.new + again.changed,
        "details": details.read / detailed if details.read else 0,
        "thirds": thirds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _make_account(name: str) -> Any:
    from gateways.models import ProcessorAccount
    from gateways.sandbox.accounts import built_in_accounts

    processor = ACCOUNTS[name]
    account = ProcessorAccount(
        slug=name,
        processor=processor,
        mode="test",
        base_url=f"{os.environ['SANDBOX_URL']}/{processor}",
        currency="USD",
    )
    (known,) = (each for each in built_in_accounts() if each.name == name)
    account.set_credentials(known.credentials)
    account.save()
    return account


def _long_ago() -> Any:
    from django.utils import timezone

    from transactions.streams import FIRST_RUN

    return timezone.now() - FIRST_RUN


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title=f"Sync from the sandbox (target: {TARGET:,} payments/s, flat memory)")
    table.add_column("account")
    for column in ("payments", "new/s", "again/s", "details/s", "MB at ⅓, ⅔, end", "peak MB", ""):
        table.add_column(column, justify="right")
    for result in results:
        thirds = " ".join(f"{mb:.0f}" for mb in result["thirds"])
        table.add_row(
            result["account"],
            f"{result['payments']:,}",
            f"{result['new']:,.0f}",
            f"{result['again']:,.0f}",
            f"{result['details']:,.0f}" if result["details"] else "",
            thirds,
            f"{result['peak']:.0f}",
            "ok" if result["new"] >= TARGET and not result["changed again"] else "BELOW TARGET",
        )
    return table


if __name__ == "__main__":
    json.dump(measure(sys.argv[1]), sys.stdout)
