"""The supervisor, with real processes."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from refunds_site.supervisor import Service, StartError, StopRequested, Supervisor, only_one
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]


def script(name: str, code: str, **fields) -> Service:
    return Service(name, [sys.executable, "-c", code], dict(os.environ), **fields)


def runs(pid: int) -> bool:
    """Whether the process is there and is not a zombie."""
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return status.stdout.strip()[:1] not in ("", "Z")


FOREVER = "import signal\nwhile True: signal.pause()"


@pytest.fixture
def announced():
    return []


@pytest.fixture
def supervisor(tmp_path, announced):
    supervisor = Supervisor(tmp_path / "logs", announce=announced.append)
    yield supervisor
    supervisor.stop()


def test_start_waits_until_the_service_is_ready(supervisor, tmp_path):
    flag = tmp_path / "ready"
    service = script("web", f"open({str(flag)!r}, 'w')\n{FOREVER}", ready=flag.exists)

    supervisor.start(service)

    assert flag.exists()
    assert runs(supervisor.pids["web"])


def test_stop_ends_the_last_stage_first(supervisor, tmp_path):
    book = tmp_path / "book"

    def writer(name: str) -> Service:
        code = f"""
import signal, sys, pathlib
def end(*_):
    with open({str(book)!r}, "a") as file: file.write({name!r} + " ")
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path({str(tmp_path / name)!r}).touch()
while True: signal.pause()
"""
        return script(name, code, ready=(tmp_path / name).exists)

    supervisor.start(writer("database"))
    supervisor.start(writer("broker"))
    supervisor.start(writer("worker"))
    supervisor.stop()

    assert book.read_text() == "worker broker database "


def test_stop_kills_who_does_not_listen_and_what_he_started(supervisor, tmp_path):
    note = tmp_path / "child"
    code = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", {FOREVER!r}])
with open({str(note) + ".new"!r}, "w") as file: file.write(str(child.pid))
os.rename({str(note) + ".new"!r}, {str(note)!r})
while True: signal.pause()
"""
    supervisor.start(script("deaf", code, ready=note.exists, stop_seconds=0.1))
    pids = [supervisor.pids["deaf"], int(note.read_text())]

    supervisor.stop()

    wait_until(lambda: not any(runs(pid) for pid in pids))


def test_a_dead_service_runs_again_and_its_new_pid_is_announced(supervisor, announced):
    supervisor.start(script("web", FOREVER))
    first = supervisor.pids["web"]
    os.kill(first, signal.SIGKILL)

    def restarted() -> bool:
        supervisor.keep_alive()
        return supervisor.pids["web"] != first

    wait_until(restarted, seconds=5)
    assert announced == [{"web": first}, {"web": supervisor.pids["web"]}]
    assert runs(supervisor.pids["web"])


def test_a_service_that_always_dies_is_an_error_with_the_end_of_its_log(supervisor):
    broken = script("web", "import sys; sys.exit('The port is taken.')", ready=lambda: False)

    with pytest.raises(StartError, match=r"(?s)web does not start.*The port is taken\."):
        supervisor.start(broken)


def test_a_service_that_is_never_ready_is_an_error(supervisor):
    with pytest.raises(StartError, match="web does not start"):
        supervisor.start(script("web", FOREVER, ready=lambda: False, start_seconds=0.1))


def test_run_returns_what_the_task_printed(supervisor):
    task = script("task", "import sys; print('answer'); print('noise', file=sys.stderr)")

    assert supervisor.run(task) == "answer\n"


def test_run_shows_the_output_of_a_task_to_the_person(supervisor, capfd):
    assert supervisor.run(script("task", "print('progress')"), show=True) == ""
    assert "progress" in capfd.readouterr().out


def test_a_task_that_fails_is_an_error_with_its_log(supervisor):
    with pytest.raises(StartError, match=r"(?s)task ended with exit status 1.*No such table"):
        supervisor.run(script("task", "import sys; sys.exit('No such table')"))


def test_services_are_kept_alive_while_a_task_runs(supervisor, tmp_path):
    flag = tmp_path / "second life"
    lives = f"""
import pathlib
born = pathlib.Path({str(tmp_path / "born")!r})
if born.exists(): pathlib.Path({str(flag)!r}).touch()
else: born.touch(); raise SystemExit
{FOREVER}
"""
    supervisor.launch(script("web", lives))
    waits = f"import pathlib\nwhile not pathlib.Path({str(flag)!r}).exists(): pass"

    supervisor.run(script("task", waits))

    assert flag.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_everything_and_old_handlers_return(supervisor, number):
    before = signal.getsignal(number)
    with suppress(StopRequested), supervisor.stopping_on_signals():
        supervisor.start(script("web", FOREVER))
        pid = supervisor.pids["web"]
        os.kill(os.getpid(), number)
        supervisor.watch()

    assert not runs(pid)
    assert signal.getsignal(number) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's death")
def test_children_end_when_the_supervisor_is_killed(tmp_path):
    code = f"""
import os, sys
from pathlib import Path
from refunds_site.supervisor import Service, Supervisor
supervisor = Supervisor(Path({str(tmp_path)!r}))
command = [sys.executable, "-c", {FOREVER!r}]
supervisor.start(Service("web", command, dict(os.environ)))
print(supervisor.pids["web"], flush=True)
supervisor.watch()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    with parent:
        child = int(parent.stdout.readline())
        assert runs(child)
        parent.kill()

    wait_until(lambda: not runs(child))


def test_logs_are_private(supervisor, tmp_path):
    supervisor.start(script("web", FOREVER))

    assert (tmp_path / "logs" / "web.log").stat().st_mode & 0o077 == 0


def test_only_one_holds_a_lock(tmp_path):
    lock = tmp_path / "lock"
    sentence = "It already runs."
    with (
        only_one(lock, sentence),
        pytest.raises(StartError, match=r"It already runs\."),
        only_one(lock, sentence),
    ):
        pass
    with only_one(lock, sentence):
        pass
