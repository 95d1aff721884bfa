"""Runs the processes of a demo or a test run: ordered start, restart of the dead, ordered stop.

Servers start in stages, each gated by readiness probes, and stop in reverse, so that a worker
finishes its task while the database is still there. On Linux nothing outlives the supervisor,
however it dies: every child asks the kernel for its own stop signal at that moment.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

POLL_SECONDS = 0.05
DEATHS_BEFORE_READY = 3  # a database may still be letting go of its lock; more is a mistake
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class StartError(Exception):
    """Something could not be started; the message is a sentence for the person at the terminal."""


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or a closed terminal."""


@dataclass(frozen=True)
class Service:
    """One long-lived process: how to start it, when it is ready, how to stop it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool] = lambda: True
    user: int | None = None
    group: int | None = None
    folder: str = "/"
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10
    start_seconds: float = 60


@dataclass
class _Child:
    service: Service
    process: subprocess.Popen[bytes]
    deaths: int = 0
    started: float = field(default_factory=time.monotonic)


class Supervisor:
    """Starts services, keeps them alive while anything is waited for, and stops them all.

    ``announce`` gets {name: pid} whenever a pid changes; ``say`` gets sentences for a person.
    """

    def __init__(
        self,
        log_folder: Path,
        announce: Callable[[dict[str, int]], None] = lambda _pids: None,
        say: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self.log_folder = log_folder
        self.announce = announce
        self.say = say
        self.stop_requested = False
        self._stages: list[list[_Child]] = []
        log_folder.mkdir(parents=True, exist_ok=True)

    @property
    def pids(self) -> dict[str, int]:
        """Which process is which, dead ones that wait for their restart included."""
        return {child.service.name: child.process.pid for child in self._children()}

    def launch(self, *services: Service) -> None:
        """Spawn one stage without waiting for it. They stop together, before earlier stages."""
        stage: list[_Child] = []
        self._stages.append(stage)
        for service in services:
            self._log(service.name).unlink(missing_ok=True)
            stage.append(_Child(service, self._start_process(service)))
        self.announce(self.pids)

    def wait_until_ready(self) -> None:
        """Return when every service of the last stage is ready; raise StartError if one is not."""
        waiting = list(self._stages[-1])
        while waiting:
            self.keep_alive()
            waiting = [child for child in waiting if not child.service.ready()]
            for child in waiting:
                late = time.monotonic() - child.started > child.service.start_seconds
                if late or child.deaths >= DEATHS_BEFORE_READY:
                    name = child.service.name
                    raise StartError(f"{name} does not start. {self._end_of_log(name)}")
            if waiting:
                time.sleep(POLL_SECONDS)

    def start(self, *services: Service) -> None:
        """Launch one stage and wait for it."""
        self.launch(*services)
        self.wait_until_ready()

    def run(self, task: Service, *, show: bool = False) -> str:
        """Run a process to its end, keeping the services alive; what it printed.

        With ``show`` it prints to the terminal instead, and "" comes back. Raises StartError when
        its exit status is not 0.
        """
        with tempfile.TemporaryFile("w+") as output, self._open_log(task.name) as log:
            where = {"stdout": None, "stderr": None} if show else {"stdout": output, "stderr": log}
            process = _spawn(task, **where)
            try:
                while (status := process.poll()) is None:
                    self.keep_alive()
                    time.sleep(POLL_SECONDS)
            finally:
                _kill_group(process)
            if status != 0:
                reason = f"{task.name} ended with {_reason(status)}."
                raise StartError(reason if show else f"{reason} {self._end_of_log(task.name)}")
            output.seek(0)
            return output.read()

    def watch(self) -> None:
        """Keep everything alive until somebody wants to stop: ends with StopRequested."""
        while True:
            self.keep_alive()
            time.sleep(4 * POLL_SECONDS)

    def keep_alive(self) -> None:
        """Restart what died; raise StopRequested when somebody wants to stop."""
        if self.stop_requested:
            raise StopRequested
        for child in self._children():
            status = child.process.poll()
            # The pause keeps a service that dies at once from eating a whole core.
            if status is None or time.monotonic() - child.started < 0.5:
                continue
            child.deaths += 1
            child.process = self._start_process(child.service)
            child.started = time.monotonic()
            self.announce(self.pids)
            name = child.service.name
            self.say(f"{name} ended ({_reason(status)}); it runs again as {child.process.pid}.")

    def stop(self) -> None:
        """Stop everything, the last stage first; whoever does not stop in time is killed."""
        while self._stages:
            stage = self._stages.pop()
            for child in stage:
                with suppress(ProcessLookupError):
                    child.process.send_signal(child.service.stop_signal)
            for child in stage:
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(child.service.stop_seconds)
                _kill_group(child.process)

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Turn Ctrl-C, SIGTERM and a closed terminal into StopRequested at the next wait."""
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._request_stop) for number in signals}
        try:
            yield
        finally:
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request_stop(self, *_: object) -> None:
        self.stop_requested = True

    def _children(self) -> list[_Child]:
        return [child for stage in self._stages for child in stage]

    def _start_process(self, service: Service) -> subprocess.Popen[bytes]:
        with self._open_log(service.name) as log:
            return _spawn(service, stdout=log, stderr=subprocess.STDOUT)

    def _log(self, name: str) -> Path:
        return self.log_folder / f"{name}.log"

    def _open_log(self, name: str) -> IO[bytes]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(os.open(self._log(name), flags, 0o600), "ab")

    def _end_of_log(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"The end of {self._log(name)}:", *lines])


def _spawn(
    service: Service, *, stdout: IO[Any] | None, stderr: IO[Any] | int | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        service.command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=dict(service.environment),
        cwd=service.folder,
        user=service.user,
        group=service.group,
        extra_groups=None if service.user is None else [],
        process_group=0,  # Ctrl-C at the terminal reaches the supervisor alone
        preexec_fn=die_with_parent(service.stop_signal),  # noqa: PLW1509
    )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that still runs, and whatever it left behind in its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def die_with_parent(stop_signal: signal.Signals) -> Callable[[], None]:
    """What a child of this process does first, so that it does not outlive it (on Linux).

    Before exec it runs after the change of user, which clears the wish.
    """
    parent = os.getpid()

    def ask_kernel() -> None:
        if _libc is not None:
            _libc.prctl(_SET_PARENT_DEATH_SIGNAL, stop_signal)
            if os.getppid() != parent:  # it died before we asked
                os.kill(os.getpid(), signal.SIGKILL)

    return ask_kernel


def _reason(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


@contextmanager
def only_one(lock: Path, sentence: str) -> Iterator[None]:
    """Hold a lock file; raise StartError with the sentence while another process holds it."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(sentence) from None
        yield
    finally:
        os.close(descriptor)
