"""Random schedules: some steps of bad luck, then healing, then the comparison of the books."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import Any

from refunds.models import Attention, Refund

from .actions import ACTIONS
from .healing import heal
from .oracle import findings
from .processors import ACCOUNTS, LONGEST_LAG
from .report import Finding, Result
from .world import World

Step = tuple[str, int]  # an action, and the seed of its chance
_SHORTEST, _LONGEST = 8, 15


@dataclass(frozen=True)
class Schedule:
    """One run: a processor that behaves so, and what happens to it. Made from ``seed`` alone."""

    seed: str
    dialect: str
    settings: dict[str, Any]
    payments: tuple[int, ...]
    cards: tuple[str, ...]
    steps: tuple[Step, ...]


def plan(seed: str) -> Schedule:
    """The schedule of a seed."""
    pick = Random(seed)
    dialect = pick.choice(list(ACCOUNTS))
    names = list(ACTIONS)
    weights = [weight for weight, _action in ACTIONS.values()]
    cards = ("4242", pick.choice(("4242", "1881", "1881")))
    chosen = pick.choices(names, weights, k=pick.randint(_SHORTEST, _LONGEST))
    return Schedule(
        seed=seed,
        dialect=dialect,
        settings=_settings(dialect, pick),
        payments=tuple(pick.choice((5_000, 10_000)) for _ in range(pick.choice((1, 1, 2)))),
        cards=cards,
        steps=tuple((name, pick.randrange(2**31)) for name in ("request", *chosen)),
    )


def run(world: World, schedule: Schedule) -> Result:
    """Carry a schedule out to the end, and compare the books."""
    started = time.monotonic()
    set_up(world, schedule)
    for step in schedule.steps:
        take(world, step)
    found = finish(world)
    return Result(
        schedule.dialect,
        "random",
        schedule.seed,
        found,
        world.story,
        world.deaths,
        time.monotonic() - started,
    )


def set_up(world: World, schedule: Schedule) -> None:
    """The account and the payments that the steps act on."""
    world.begin(schedule.dialect)
    world.broker.flush()
    for number, minor in enumerate(schedule.payments):
        status = {} if number % 2 else {"status": "settled"}
        last4 = schedule.cards[number]  # equal ones cannot be told apart where refunds name none
        world.pay(minor, currency="USD", last4=last4, **status)
    world.behave(**schedule.settings)
    world.tell(f"{schedule.dialect} {schedule.settings}, payments {schedule.payments}")


def take(world: World, step: Step) -> None:
    """One step. What it must not raise is kept in the world's problems."""
    name, number = step
    _weight, action = ACTIONS[name]
    world.attempt(lambda: action(world, Random(number)))


def finish(world: World) -> list[Finding]:
    """Heal, and say what does not fit."""
    heal(world)
    world.end()
    return judged(world)


def judged(world: World) -> list[Finding]:
    """What the books and our rows say now, with what was raised on the way."""
    books = world.processors.books(world.name)
    for refund in Refund.objects.order_by("created_at"):
        world.tell(f"{refund.origin} refund {refund.pk} of {refund.amount}: {refund.status}")
    for case in Attention.objects.order_by("raised_at"):
        world.tell(f"case {case.kind} of {case.subject}: {case.outcome or 'open'}: {case.reason}")
    raised = [("unexplained", problem) for problem in world.problems]
    return raised + findings(world.account, books, lied=world.lied)


def _settings(dialect: str, pick: Random) -> dict[str, Any]:
    """How the processor behaves, within what our adapters say they can bear."""
    settings: dict[str, Any] = {"lookup_lag_seconds": pick.choice((0, LONGEST_LAG[dialect]))}
    if dialect == "nmi":
        settings["refund_shape"] = pick.choice(("A", "A", "B"))
        settings["refund_before_settlement"] = pick.random() < 0.3
        settings["refund_keeps_order_id"] = pick.random() < 0.8
    return settings
