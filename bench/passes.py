"""How long one pass of each sweep takes over very many open refunds, and how much memory.

``python -m bench.passes publish_due`` measures one pass in a process of its own, in an environment
that has them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .stage import Stage

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WARM = 3  # passes after the first; the slowest counts


@dataclass(frozen=True)
class Pass:
    """Seconds, rows and megabytes."""

    name: str
    cold: float  # PostgreSQL and the process have just started
    warm: float
    did: int  # in the first pass
    peak: float


def measure(stage: Stage, person: User, refunds: int) -> list[Pass]:
    """Each pass over so many open refunds, with servers that have just started."""
    from django.db import connections

    from .crowd import gather

    gather(refunds, person)
    connections.close_all()
    return [_measure_elsewhere(stage, name) for name in passes()]


def passes() -> dict[str, Callable[[], int]]:
    """What beat has made, in the order of their intervals, and what follows each sync."""
    from gateways.models import ProcessorAccount
    from refunds import cases, disputes, sweeps, webhooks

    return {
        "publish_due": sweeps.publish_due,
        "look_up_due": sweeps.look_up_due,
        "probe_down_accounts": sweeps.probe_down_accounts,
        "expire_leases": sweeps.expire_leases,
        "flag_overdue": sweeps.flag_overdue,
        "publish_webhooks": webhooks.publish_due,
        "reassign_orphans": cases.reassign_orphans,
        "close_resumed_accounts": cases.close_resumed_accounts,
        "raise_disputes": disputes.raise_disputes,
        "hurry_settled": lambda: sweeps.hurry_settled(ProcessorAccount.objects.get(slug="crowd-0")),
    }


def _measure_elsewhere(stage: Stage, name: str) -> Pass:
    stage.stop("postgres")
    stage.start(stage.servers.postgres)
    command = [sys.executable, "-m", "bench.passes", name]
    answer = subprocess.run(
        command, env=stage.environment, stdout=subprocess.PIPE, timeout=120, check=True
    )
    return Pass(**json.loads(answer.stdout))


def _measure(name: str) -> Pass:
    import django

    django.setup()
    run = passes()[name]
    seconds, rows = [], []
    for _ in range(1 + WARM):
        started = time.perf_counter()
        rows.append(run())
        seconds.append(time.perf_counter() - started)
    return Pass(name, seconds[0], max(seconds[1:]), rows[0], _peak())


def _peak() -> float:
    """The largest resident set of this process; what ran in it before exec does not count."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    json.dump(asdict(_measure(sys.argv[1])), sys.stdout)
