"""Several jobs side by side, each a process with a database and a sandbox of its own."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from refunds_site.supervisor import die_with_parent

from .ground import Ground
from .report import Result

_PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Work:
    """One run to play: grid, random or machine, and its name, which says all about it."""

    category: str
    name: str


class Crew:
    """The jobs, while it is entered. They end with it, and with the process that started them."""

    def __init__(self, ground: Ground, jobs: int) -> None:
        self._ground = ground
        self._jobs = jobs
        self._members: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        for number in range(self._jobs):
            log = self._ground.folder / f"job-{number}.log"
            with log.open("w") as errors:
                member = subprocess.Popen(
                    [sys.executable, "-m", "chaos.job"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=self._ground.environment_of(number),
                    cwd=_PROJECT,
                    text=True,
                    process_group=0,  # Ctrl-C at the terminal reaches us alone
                    preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509
                )
            self._members.append(member)
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members:
            member.terminate()
        for member in self._members:
            member.wait()

    def results(self, work: Sequence[Work]) -> Iterator[Result]:
        """Hand the work out, one run at a time to each job, and give back what they find."""
        waiting = iter(work)
        with selectors.DefaultSelector() as busy:
            for number, member in enumerate(self._members):
                if (each := next(waiting, None)) is not None:
                    _hand(member, each)
                    busy.register(_output_of(member), selectors.EVENT_READ, number)
            while busy.get_map():
                for key, _events in busy.select():
                    member = self._members[key.data]
                    yield self._read(member, key.data)
                    if (each := next(waiting, None)) is not None:
                        _hand(member, each)
                    else:
                        busy.unregister(_output_of(member))

    def _read(self, member: subprocess.Popen[str], number: int) -> Result:
        line = _output_of(member).readline()
        if not line:
            log = (self._ground.folder / f"job-{number}.log").read_text()[-3000:]
            raise RuntimeError(f"Job {number} ended with {member.wait()}:\n{log}")
        return Result(**json.loads(line))


def play_scenarios(*, fixed: bool) -> Iterator[Result]:
    """What the scenarios with real workers find: one process plays them all."""
    command = [sys.executable, "-m", "chaos.scenarios", *(["--fixed"] if fixed else [])]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "refunds_site.settings", "DEBUG": "1"},
        cwd=_PROJECT,
        text=True,
        process_group=0,
        preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509
    ) as player:
        try:
            for line in _output_of(player):
                yield Result(**json.loads(line))
        finally:
            player.terminate()
    if player.returncode:
        raise RuntimeError(f"The scenarios ended with {player.returncode}.")


def _hand(member: subprocess.Popen[str], work: Work) -> None:
    if member.stdin is not None:
        member.stdin.write(json.dumps(asdict(work)) + "\n")
        member.stdin.flush()


def _output_of(member: subprocess.Popen[str]) -> IO[str]:
    if member.stdout is None:
        raise ValueError("The job was started without a pipe.")
    return member.stdout
