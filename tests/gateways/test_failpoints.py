"""Processes of their own that die or stop where ``CRASH_AT`` says, and nowhere else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateways.failpoints import FAILPOINTS
from tests.waiting import wait_until

from .raw_server import OK, raw_server

TELL = "import sys; from gateways import failpoints"


def start(script: str, crash_at: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"CRASH_AT": str(crash_at)},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=30)
    return process.returncode, printed.strip()


def wait_until_stopped(process: subprocess.Popen[str]) -> None:
    wait_until(lambda: os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)[1]), 30)


@pytest.mark.parametrize("crash_at", ["", "after-claim", "before", "/nowhere/at/all"])
def test_what_is_not_named_is_passed(crash_at):
    script = f"{TELL}; failpoints.reach('before-connect'); print('alive')"
    assert finish(start(script, crash_at)) == (0, "alive")


def test_what_is_named_kills(tmp_path):
    script = f"{TELL}; print('here', flush=True); failpoints.reach('after-claim'); print('there')"
    assert finish(start(script, "after-claim")) == (-signal.SIGKILL, "here")


def test_every_name_can_be_armed_in_a_folder(tmp_path):
    for name in FAILPOINTS:
        (tmp_path / name).touch()
        assert finish(start(f"{TELL}; failpoints.reach({name!r})", tmp_path))[0] == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_one_file_kills_one_of_many(tmp_path):
    script = f"{TELL}; sys.stdin.read(1); failpoints.reach('after-send')"
    many = [start(script, tmp_path) for _ in range(6)]
    (tmp_path / "after-send").touch()
    codes = sorted(finish(each)[0] for each in many)
    assert codes == [-signal.SIGKILL, 0, 0, 0, 0, 0]
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_the_word_stop_stops(tmp_path):
    (tmp_path / "after-claim").write_text("stop\n")
    process = start(f"{TELL}; failpoints.reach('after-claim'); print('awake')", tmp_path)
    wait_until_stopped(process)
    os.kill(process.pid, signal.SIGCONT)
    assert finish(process) == (0, "awake")


SEND = """
import sys
import time

import structlog

from gateways.errors import NotSent
from gateways.transport import Transport

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
transport = Transport(total_seconds=60)
limit = time.monotonic() + {seconds}
print(limit, flush=True)
with transport.one_deadline(not_after=limit):
    try:
        print(transport.send("POST", {url!r}, body=b"pay", reuse_connection={is_read}).status)
    except NotSent as error:
        print(error.reason, len(error.exchanges))
"""


@pytest.fixture
def server():
    with raw_server() as server:
        server.plays = [server.answer(OK)]
        yield server


def sending(server, *, is_read: bool = False, seconds: float = 60) -> str:
    return SEND.format(url=server.url, is_read=is_read, seconds=seconds)


@pytest.mark.parametrize(
    ("failpoint", "connections", "requests"),
    [("before-connect", 0, 0), ("after-send", 1, 1), ("after-response", 1, 1)],
)
def test_on_the_way_of_money(server, failpoint, connections, requests):
    if failpoint == "after-send":
        server.plays = [server.silence]  # so an answer cannot come first
    assert finish(start(sending(server), failpoint))[0] == -signal.SIGKILL
    wait_until(lambda: len(server.requests) == requests)
    assert server.connections == connections
    assert all(request.endswith(b"\r\n\r\npay") for request in server.requests)


@pytest.mark.parametrize("failpoint", ["before-connect", "after-send", "after-response"])
def test_a_read_passes_them_all(server, failpoint):
    status, printed = finish(start(sending(server, is_read=True), failpoint))
    assert (status, printed.split()[1:]) == (0, ["200"])


def test_who_wakes_after_the_lease_does_not_start_to_send(server, tmp_path):
    Path(tmp_path, "before-connect").write_text("stop")
    process = start(sending(server, seconds=1), tmp_path)
    assert process.stdout
    limit = float(process.stdout.readline())
    wait_until_stopped(process)
    wait_until(lambda: time.monotonic() > limit)  # one clock for all processes of a machine
    os.kill(process.pid, signal.SIGCONT)
    assert finish(process) == (0, "too_late 1")
    assert server.requests == []


def test_who_wakes_before_that_sends(server, tmp_path):
    Path(tmp_path, "before-connect").write_text("stop")
    process = start(sending(server), tmp_path)
    wait_until_stopped(process)
    os.kill(process.pid, signal.SIGCONT)
    assert finish(process)[1].split()[1:] == ["200"]
