"""Real workers, a real broker and a real database for one scenario, and ways to kill each."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import redis
from django.db import OperationalError, connections
from django.db.models.functions import Now

from refunds.models import Refund
from refunds.states import Status
from refunds.turns import LEASE
from refunds_site import processes
from refunds_site.supervisor import Supervisor

from .ground import Ground
from .world import World

_PATIENCE = 60.0  # seconds for anything to happen; beat's sweeps come every 2 to 15
_LONGEST_TURN = timedelta(seconds=30)  # of a worker that lives
_RESTING = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.RETURNED)


class Late(Exception):
    """What had to happen did not, in time."""


class Town:
    """The processes that work for a world. Entering starts them, leaving stops them."""

    def __init__(self, ground: Ground, world: World, environment: Mapping[str, str]) -> None:
        self.ground = ground
        self.world = world
        self.workers = Supervisor(ground.folder / "workers")
        self.failpoints = ground.folder / "failpoints"
        self.failpoints.mkdir(exist_ok=True)
        self._environment = {**environment, "CRASH_AT": str(self.failpoints)}

    def open(self) -> None:
        """Start the worker that sends, the one for the rest, and beat."""
        for armed in self.failpoints.iterdir():
            armed.unlink()
        schedule = self.ground.folder / "beat"
        self.workers.start(
            processes.worker(self._environment, queues=processes.SUBMIT, concurrency=2),
            processes.background(self._environment, threads=4),
            processes.beat(self._environment, schedule),
        )

    def close(self) -> None:
        """Stop them at once: what they leave behind is theirs to leave behind."""
        for pid in self.workers.pids.values():
            _signal_group(pid, signal.SIGKILL)
        self.workers.stop()

    def arm(self, failpoint: str, *, stop: bool = False) -> Path:
        """Let whoever comes to the failpoint first die there, or stop."""
        armed = self.failpoints / failpoint
        armed.write_text("stop" if stop else "")
        return armed

    def until(self, happened: Callable[[], object], what: str, seconds: float = _PATIENCE) -> None:
        """Wait for something, keeping everybody alive meanwhile. Raises Late."""
        deadline = time.monotonic() + seconds
        while not self._is_so(happened):
            if time.monotonic() > deadline:
                raise Late(f"Not within {seconds:.0f} s: {what}.")
            self.ground.supervisor.keep_alive()
            self.workers.keep_alive()
            time.sleep(0.05)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal one of the services: a worker with all its children, or a server alone."""
        if pid := self.workers.pids.get(name):
            _signal_group(pid, number)
        else:
            os.kill(self.ground.supervisor.pids[name], number)
        self.world.deaths += 1
        self.world.tell(f"{number.name} for {name}")

    def flush(self) -> None:
        """Lose everything that the broker knows."""
        with redis.Redis.from_url(self.ground.servers.redis_url) as client:
            client.flushall()
        self.world.tell("FLUSHALL")

    def rested(self) -> bool:
        """Whether every refund has come to an end, or is before a person, or can only wait."""
        moving = Refund.objects.exclude(status__in=_RESTING)
        return not moving.filter(status__in=[Status.QUEUED, Status.SENDING]).exists()

    def is_orphaned(self) -> bool:
        """Whether a refund is in the hands of a process that is no more."""
        owners = Refund.objects.filter(status=Status.SENDING).values_list("lease_owner", flat=True)
        pids = [str(owner).rpartition(":")[2] for owner in owners]
        if any(not Path("/proc", pid).exists() for pid in pids):
            return True
        # A turn has no owner's name: one that has lasted for so long is nobody's.
        since = Now() + LEASE - _LONGEST_TURN
        taken_up = Refund.objects.filter(status=Status.QUEUED, unfinished__gt=0)
        return taken_up.filter(next_action_at__gt=Now(), next_action_at__lt=since).exists()

    def wait_for_database(self) -> None:
        """Wait until new connections work; the old ones may be dead."""
        connections.close_all()
        self.until(lambda: Refund.objects.count() >= 0, "the database answers")

    def _is_so(self, happened: Callable[[], object]) -> bool:
        try:
            return bool(happened())
        except OperationalError:  # it was the database that was killed
            connections.close_all()
            return False


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)
