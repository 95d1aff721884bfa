"""A new release takes over while people work: no request fails, and old code lives with new tables."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Self

import pytest

from refunds_site import embedded, processes
from tests.waiting import wait_until

from .production import production_environment


def children(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return set(map(int, listed.read_text().split())) if listed.exists() else set()


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


class Visitors:
    """Eight people who ask again and again, each over a new connection, as a proxy does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answered = 0
        self.failures: list[str] = []
        self._stop = Event()
        self._threads = [Thread(target=self._ask) for _ in range(8)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(f"{self.address}/readyz", timeout=30) as answer:
                    answer.read()
                self.answered += 1
            except OSError as error:
                self.failures.append(repr(error))

    def wait_for(self, more: int) -> None:
        wanted = self.answered + more
        wait_until(lambda: self.answered >= wanted, 60)


@pytest.fixture
def port() -> int:
    return embedded.free_port()


@pytest.fixture
def site(port, transactional_db, tmp_path) -> Iterator[int]:
    """The process that a person started as the site."""
    service = processes.web(production_environment(), port)
    with (tmp_path / "web.log").open("wb") as log:
        process = subprocess.Popen(
            service.command,
            env=dict(service.environment),
            cwd=service.folder,
            stdout=log,
            stderr=log,
            process_group=0,
        )
    try:
        wait_until(service.ready, 60)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(180)
def test_a_new_release_takes_over_and_no_request_fails(site, port):
    with Visitors(f"http://127.0.0.1:{port}") as visitors:
        visitors.wait_for(50)
        old = children(site)
        os.kill(
            site, signal.SIGUSR2
        )  # the new one reads code and settings anew, on the same socket
        wait_until(lambda: children(site) - old, 30)
        (new,) = children(site) - old
        wait_until(lambda: children(new), 60)  # it has workers: both answer
        visitors.wait_for(50)
        os.kill(site, signal.SIGTERM)
        wait_until(lambda: not any(map(is_alive, {site, *old})), 60)
        visitors.wait_for(100)
        assert is_alive(new)
    assert visitors.failures == []


@pytest.mark.timeout(180)
def test_workers_are_replaced_and_no_request_fails(site, port):
    """SIGHUP: as after a setting that gunicorn itself reads was changed."""
    with Visitors(f"http://127.0.0.1:{port}") as visitors:
        visitors.wait_for(50)
        old = children(site)
        os.kill(site, signal.SIGHUP)
        wait_until(lambda: not any(map(is_alive, old)), 60)
        visitors.wait_for(100)
    assert visitors.failures == []
