"""``manage.py demo`` as a person runs it: in a folder of its own, with real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from refunds_site import embedded
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]
PROCESSES = {"web", "worker", "background", "beat", "sandbox", "postgres", "valkey"}
OF_THE_TESTS = ("DATABASE_URL", "REDIS_URL", "UNDO_SECONDS", "DJANGO_SETTINGS_MODULE")


class Demo:
    """A demo in its folder: its process, and what it says about itself."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.environment = {k: v for k, v in os.environ.items() if k not in OF_THE_TESTS} | {
            "DEBUG": "1",
            "DATA_DIR": str(data_dir),
            "PORT": str(embedded.free_port()),
            "SANDBOX_PORT": str(embedded.free_port()),
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it; what it printed until it was ready."""
        self.process = subprocess.Popen(
            [sys.executable, str(PROJECT / "manage.py"), "demo"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        printed = ""
        for line in self.process.stdout:
            printed += line
            if "Ctrl-C stops everything" in line:
                return printed
        raise AssertionError(printed)

    def stop(self) -> str:
        self.process.terminate()
        printed, _ = self.process.communicate(timeout=60)
        return printed

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command; ``environment`` comes on top of the demo's."""
        return subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def facts(self) -> dict:
        return json.loads((self.data_dir / "demo.json").read_text())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):  # it may go between the two
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path / "data of the demo")
    yield demo
    if demo.process and demo.process.poll() is None:
        demo.stop()
    if demo.data_dir.exists():
        embedded.remove(demo.data_dir)


@contextmanager
def sandbox_that_starts_late(demo: Demo) -> Iterator[None]:
    """It waits for its state, and nobody asks it anything until it has that."""
    state, log = demo.data_dir / "sandbox.json", demo.data_dir / "logs" / "demo_data.log"
    kept = state.read_bytes()
    state.unlink()
    log.unlink()
    os.mkfifo(state)
    began: list[bool] = []

    def feed() -> None:
        with state.open("wb") as waiting:  # until the sandbox reads
            began.append(log.exists())
            waiting.write(kept)

    feeder = Thread(target=feed)
    feeder.start()
    yield
    feeder.join()
    assert began == [False]


@pytest.mark.timeout(300)
def test_the_demo_from_its_first_start_to_its_end(demo):
    printed = demo.start()
    facts = demo.facts

    assert facts["url"] in printed
    assert set(facts) == {"url", "sandbox_url", "database_url", "redis_url", "pids", "logins"}
    assert set(facts["pids"]) == PROCESSES
    roles = {"viewer", "agent", "approver", "manager", "admin", "auditor"}
    assert set(facts["logins"]) == roles
    for login in facts["logins"].values():
        assert set(login) == {"username", "password", "api_token"}
        assert f"{login['username']}" in printed
        assert f"{login['password']}" in printed
    assert (demo.data_dir / "demo.json").stat().st_mode & 0o077 == 0
    assert answers(facts["url"] + "/readyz")

    # A second one on the same data is told so; commands find the database by the folder alone.
    assert "already runs" in demo.manage("demo").stderr
    del demo.environment["DEBUG"]
    counted = demo.manage(
        "shell",
        "-v0",
        "-c",
        "from transactions.models import *; print(Transaction.objects.count())",
    )
    demo.environment["DEBUG"] = "1"
    assert int(counted.stdout) >= 1500, counted.stderr

    for name in ("web", "worker", "background", "postgres", "valkey"):
        before = demo.facts["pids"][name]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda name=name, before=before: demo.facts["pids"][name] != before, seconds=5)
    wait_until(lambda: answers(facts["url"] + "/readyz"), seconds=20)

    pids = demo.facts["pids"].values()
    assert "Everything is stopped." in demo.stop()
    assert demo.process.returncode == 0
    assert all(is_gone(pid) for pid in pids)
    assert not (demo.data_dir / "demo.json").exists()

    with sandbox_that_starts_late(demo):
        demo.start()
    assert demo.facts["logins"] == facts["logins"]
    pids = demo.facts["pids"].values()
    demo.process.kill()
    demo.process.communicate()
    wait_until(lambda: all(is_gone(pid) for pid in pids), seconds=30)

    assert demo.manage("demo", "--reset").returncode == 0
    assert not demo.data_dir.exists()


@pytest.mark.parametrize("variable", ["PORT", "SANDBOX_PORT"])
def test_a_port_that_is_taken_is_named_with_its_variable(demo, variable):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = demo.manage("demo", **{variable: str(port)})

    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        f"CommandError: Port {port} is taken. Set {variable} to another one."
    )


@pytest.mark.parametrize("port", ["web", "0", "65536", "-1", "８０００"])
def test_a_port_is_a_number(demo, port):
    refused = demo.manage("demo", PORT=port)

    assert refused.returncode == 1
    assert "PORT is" in refused.stderr
    assert "Set it to a number from 1 to 65535." in refused.stderr


def test_site_and_sandbox_need_two_ports(demo):
    refused = demo.manage("demo", SANDBOX_PORT=demo.environment["PORT"])

    assert "PORT and SANDBOX_PORT are the same" in refused.stderr


def test_a_data_folder_that_cannot_be_made_is_a_sentence(demo, tmp_path):
    (tmp_path / "file").touch()
    refused = demo.manage("demo", DATA_DIR=str(tmp_path / "file" / "data"))

    assert refused.stderr.startswith("CommandError: DATA_DIR cannot be made: Not a directory")


def test_reset_leaves_alone_what_is_not_a_demos(demo, tmp_path):
    (tmp_path / "precious").touch()
    refused = demo.manage("demo", "--reset", DATA_DIR=str(tmp_path))

    assert "was not made by make demo" in refused.stderr
    assert (tmp_path / "precious").exists()


def test_reset_of_nothing_is_fine(demo):
    assert "nothing to delete" in demo.manage("demo", "--reset").stdout
