"""One of several processes that work through runs: reads what to do, prints a line per run."""

from __future__ import annotations

import json
import logging
import signal
import sys
from dataclasses import asdict
from typing import Any

import django
from django.conf import settings

# No run takes so long; one that does is stuck, which is a finding.
_WATCHDOG_SECONDS = 120


class Stuck(Exception):
    """A run does not come to its end."""


def main() -> None:
    """Work through what is named on stdin, a line of JSON each; print a Result for each."""
    django.setup()
    settings.DEBUG = False  # it keeps every statement
    logging.disable(logging.CRITICAL)
    from refunds_site.celery import app

    from .broker import Broker
    from .processors import Processors
    from .world import World

    signal.signal(signal.SIGALRM, _bark)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with everything below cleaned up
    processors = Processors()
    world = World(processors, Broker(app, in_memory=True))
    try:
        app.loader.import_default_modules()
        for line in sys.stdin:
            print(json.dumps(_run(world, json.loads(line))), flush=True)
    finally:
        world.end()
        processors.stop()


def _run(world: Any, wish: dict[str, Any]) -> dict[str, Any]:
    from . import grid, machine, schedules
    from .cells import Cell
    from .report import Result

    category, name = wish["category"], wish["name"]
    signal.alarm(_WATCHDOG_SECONDS if category != "machine" else 0)
    try:
        if category == "grid":
            return asdict(grid.run(world, Cell.named(name)))
        if category == "machine":
            return asdict(machine.run(world, int(name)))
        return asdict(schedules.run(world, schedules.plan(name)))
    except Stuck:
        stuck = [("unexplained", "The run did not come to its end.")]
        return asdict(Result(world.dialect, category, name, stuck, world.story))
    finally:
        signal.alarm(0)


def _bark(*_: object) -> None:
    raise Stuck


if __name__ == "__main__":
    main()
