"""Real worker processes, a real broker and a real database, each of them killed in its turn.

Run as ``python -m chaos.scenarios``, it prints a Result for each scenario, a line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import django

from . import ground
from .report import Result

if TYPE_CHECKING:
    from refunds.models import Refund

    from .town import Town

_LEASE = timedelta(seconds=130)
_DEATHS = 6  # in a row, before it counts as a mistake
_ASLEEP = 130.0  # seconds of a machine that really stood still for longer than a lease
_DIALECTS = ("stripe", "paypal", "authorizenet", "nmi")

Play = Callable[["Town"], None]


def killed_at(failpoint: str) -> Play:
    """The child that sends dies at a failpoint; its message comes again, or the sweep finds it."""

    def play(town: Town) -> None:
        armed = town.arm(failpoint)
        _ask(town, 4_000)
        town.until(lambda: not armed.exists(), f"a worker comes to {failpoint}")
        town.world.deaths += 1

    return play


def worker_killed(town: Town) -> None:
    """The whole worker is killed in the middle of a call, and started again."""
    _slow_call(town)
    town.kill("worker")


def messages_lost(town: Town) -> None:
    """The broker loses everything between a request and the worker that would take it."""
    town.kill("worker")
    for _ in range(3):
        _ask(town, 1_000)
    town.flush()


def broker_killed(town: Town) -> None:
    """Valkey dies while refunds go out; requests are taken meanwhile."""
    _ask(town, 1_000)
    town.kill("valkey")
    _ask(town, 1_000)


def database_restarted(number: signal.Signals) -> Play:
    """PostgreSQL ends every session in the middle of a call, and comes back."""

    def play(town: Town) -> None:
        _slow_call(town)
        town.kill("postgres", number)

    return play


def machine_paused(town: Town) -> None:
    """A worker stands still just before it would send, longer than its lease, and then goes on."""
    _pause_before_connect(town)
    time.sleep(_ASLEEP)  # every worker of that machine sleeps; nobody else sends either
    town.workers.keep_alive()
    town.kill("worker", signal.SIGCONT)


def everything_at_once(town: Town) -> None:
    """Nine refunds, while workers, children, broker and database die one after the other."""
    for failpoint in ("after-send", "before-result-commit", "after-claim"):
        town.arm(failpoint)
        for _ in range(3):
            _ask(town, 500)
        town.kill("worker")
        town.kill("valkey")
        town.kill("postgres", signal.SIGQUIT)
        town.wait_for_database()


PLAYS: dict[str, Play] = {
    "killed after-claim": killed_at("after-claim"),
    "killed after-send": killed_at("after-send"),
    "killed before-result-commit": killed_at("before-result-commit"),
    "worker killed": worker_killed,
    "messages lost": messages_lost,
    "broker killed": broker_killed,
    "database restarted fast": database_restarted(signal.SIGINT),
    "database restarted immediately": database_restarted(signal.SIGQUIT),
    "everything at once": everything_at_once,
    "machine paused": machine_paused,
}
_FIXED = (
    ("nmi", "killed after-send"),
    ("stripe", "database restarted immediately"),
    ("authorizenet", "messages lost"),
)


def main() -> None:
    """Play all scenarios, or the fixed few."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(PLAYS)}")
    wish = parser.parse_args()
    everything = tuple((dialect, name) for name in wish.names or PLAYS for dialect in _DIALECTS)
    signal.signal(signal.SIGTERM, _stop)
    with ground.prepared(durable=True) as where:
        for result in _play_all(where, _FIXED if wish.fixed else everything):
            print(json.dumps(asdict(result)), flush=True)


def _play_all(where: ground.Ground, chosen: tuple[tuple[str, str], ...]) -> Iterator[Result]:
    os.environ.update(where.environment)
    django.setup()
    logging.disable(logging.CRITICAL)
    from refunds_site.celery import app

    from .broker import Broker
    from .processors import Processors
    from .town import Town
    from .world import World

    processors = Processors()
    world = World(processors, Broker(app, in_memory=False))
    app.loader.import_default_modules()
    town = Town(where, world, where.environment)
    try:
        for dialect, name in chosen:
            yield _play(town, dialect, name)
    finally:
        town.close()
        processors.stop()


def _play(town: Town, dialect: str, name: str) -> Result:
    from .healing import heal
    from .schedules import judged
    from .town import Late

    started, world = time.monotonic(), town.world
    world.begin(dialect)
    world.pay(10_000, currency="USD", status="settled")
    try:
        town.open()
        PLAYS[name](town)
        _recover(town)
    except Late as late:
        world.problems.append(str(late))
    finally:
        town.close()
    heal(world)
    found = judged(world)
    seconds = time.monotonic() - started
    return Result(dialect, "processes", name, found, world.story, world.deaths, seconds)


def _recover(town: Town) -> None:
    """Let the workers do what they can; whoever still holds a lease then is dead."""
    from .town import Late

    town.wait_for_database()
    town.world.processors.clear_faults()
    for _ in range(_DEATHS):
        town.until(lambda: town.rested() or town.is_orphaned(), "the sweeps hand out what was lost")
        if town.rested():
            return
        town.world.tell("a lease runs out")
        town.world.let_time_pass(_LEASE)
        with suppress(Late):  # another one may have died since
            town.until(lambda: not town.is_orphaned(), "the sweep finds who died", seconds=20)
    raise Late(f"After {_DEATHS} leases refunds are still being sent by the dead.")


def _ask(town: Town, minor: int) -> Refund:
    from gateways.money import Money
    from refunds.services import request_refund
    from transactions.models import Transaction

    from .world import people, reason

    payment = Transaction.objects.get(external_id=town.world.payments[0])
    refund, _new = request_refund(
        transaction=payment,
        amount=Money(minor, "USD"),
        reason=reason(),
        note="",
        requested_by=people()[0],
        idempotency_key=f"key-{time.monotonic_ns()}",
    )
    town.world.tell(f"asked for {minor}")
    return refund


def _slow_call(town: Town) -> None:
    """Bring a worker into the middle of a call."""
    from refunds.models import Refund
    from refunds.states import Status

    town.world.arm(call="refund", what="slow", when="after", seconds=0.8)
    _ask(town, 4_000)
    sending = Refund.objects.filter(status=Status.SENDING, attempts__sends__gt=0)
    town.until(sending.exists, "a worker sends")


def _pause_before_connect(town: Town) -> None:
    armed = town.arm("before-connect", stop=True)
    _ask(town, 4_000)
    town.until(lambda: not armed.exists(), "a worker comes to before-connect")
    town.kill("worker", signal.SIGSTOP)


def _stop(*_: object) -> None:
    raise SystemExit(1)


if __name__ == "__main__":
    main()
