"""Steps in forked processes, which really die by SIGKILL at a failpoint or really stop there."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from django.db import connections

from refunds_site.supervisor import die_with_parent

from .broker import Broker

Ending = Literal["done", "killed", "stopped"]


class StepFailed(Exception):
    """A step raised what nobody expects; the text is its traceback."""


class Child:
    """One process that takes one step, with one failpoint armed in it."""

    def __init__(
        self, step: Callable[[], None], failpoint: str, *, stop: bool, broker: Broker
    ) -> None:
        self.failpoint = failpoint
        self._broker = broker
        self._reads, writes = os.pipe()
        with tempfile.TemporaryDirectory(prefix="refund-desk-failpoints-") as folder:
            (Path(folder) / failpoint).write_text("stop" if stop else "")
            look_after = die_with_parent(signal.SIGKILL)
            self.pid = os.fork()
            if self.pid == 0:
                look_after()
                os.environ["CRASH_AT"] = folder
                _live(step, writes, broker)
            os.close(writes)
            self.ending = self._wait()

    def wake(self) -> Ending:
        """Let a stopped child go on to its end."""
        os.kill(self.pid, signal.SIGCONT)
        self.ending = self._wait()
        return self.ending

    def kill(self) -> None:
        """End a stopped child, as the time limit of a worker would."""
        if self.ending == "stopped":
            os.kill(self.pid, signal.SIGKILL)
            self.ending = self._wait()

    def _wait(self) -> Ending:
        """Wait for the end or the next stop. Raises StepFailed."""
        try:
            _, status = os.waitpid(self.pid, os.WUNTRACED)
        except BaseException:  # a person or a watchdog lost patience
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise
        if os.WIFSTOPPED(status):
            return "stopped"
        with os.fdopen(self._reads) as pipe:
            said = json.loads(pipe.read() or "{}")
        if "error" in said:
            raise StepFailed(said["error"])
        for message in said.get("messages", ()):
            self._broker.send(message)
        return "killed" if os.WIFSIGNALED(status) else "done"


def _live(step: Callable[[], None], writes: int, broker: Broker) -> None:
    """The child's whole life. What it sent to the broker goes to the parent at the end."""
    said: dict[str, object] = {}
    try:
        for connection in connections.all(initialized_only=True):
            connection.connection = None  # the parent's; one made here is opened when needed
        broker.flush()
        step()
        said["messages"] = broker.take_all()
    except BaseException:  # noqa: BLE001 - told to the parent, who raises
        said["error"] = traceback.format_exc()[-20_000:]  # a pipe holds 64 KB
    os.write(writes, json.dumps(said).encode())
    os._exit(0)
