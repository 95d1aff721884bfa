"""The same actions as a Hypothesis state machine, for what it does best: shrinking a find.

The ten thousand schedules are made by ``schedules.plan``, because Hypothesis spends as long on
choosing a step as most steps take. This machine runs beside them, and its examples are new ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from .actions import ACTIONS
from .processors import ACCOUNTS
from .report import Result
from .schedules import finish, plan, set_up, take
from .world import World

_STEPS = 12


def run(world: World, examples: int) -> Result:
    """Play examples of the machine; the find is the shortest story that Hypothesis got to."""
    started = time.monotonic()
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=_STEPS,
        derandomize=True,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    machine = _machine_on(world)
    try:
        run_state_machine_as_test(machine, settings=settings)
    except _Found as found:
        return Result(
            world.dialect, "machine", str(examples), found.findings, world.story, world.deaths
        )
    seconds = time.monotonic() - started
    return Result("all four", "machine", str(examples), [], [], machine.deaths, seconds)


class _Found(AssertionError):
    def __init__(self, findings: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(sentence for _category, sentence in findings))
        self.findings = findings


def _machine_on(world: World) -> type[Any]:
    """A machine with a rule for each action."""

    class Business(RuleBasedStateMachine):
        deaths = 0

        @initialize(
            dialect=strategies.sampled_from(sorted(ACCOUNTS)), number=strategies.integers(0, 999)
        )
        def begin(self, dialect: str, number: int) -> None:
            made = next(each for each in _plans(number) if each.dialect == dialect)
            set_up(world, made)
            take(world, ("request", number))

        def teardown(self) -> None:
            if world.payments and (found := finish(world)):
                raise _Found(found)
            type(self).deaths += world.deaths

    for name in ACTIONS:
        setattr(Business, name.replace(" ", "_"), _rule_of(world, name))
    return Business


def _plans(number: int) -> Any:
    attempt = 0
    while True:
        yield plan(f"machine-{number}-{attempt}")
        attempt += 1


def _rule_of(world: World, name: str) -> Callable[..., None]:
    @rule(number=strategies.integers(0, 2**31 - 1))
    def step(_machine: object, number: int) -> None:
        take(world, (name, number))

    step.__name__ = name.replace(" ", "_")
    return step
