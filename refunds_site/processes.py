"""The processes of Refund Desk, as a supervisor runs them for a demo or a test.

``environment`` is theirs whole: DATABASE_URL, REDIS_URL and whatever else settings.py reads.
"""

import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from refunds_site.supervisor import Service

PROJECT = Path(__file__).resolve().parent.parent
# Sends have a worker of their own: whatever hangs elsewhere, a new refund leaves.
SUBMIT = "submit"
BACKGROUND = "sweep,lookup,webhook,bulk,reports"


def web(environment: Mapping[str, str], port: int) -> Service:
    """The site, on loopback; ready when it answers ``/healthz``."""
    options = f"--bind 127.0.0.1:{port} --workers 2 --worker-class gthread --threads 8"
    return Service(
        name="web",
        command=[
            *(sys.executable, "-m", "gunicorn", "refunds_site.wsgi:application"),
            *options.split(),
            *("--preload", "--graceful-timeout", "10", "--no-control-socket"),
        ],
        environment=_measuring("web", environment),
        ready=lambda: _answers(f"http://127.0.0.1:{port}/healthz"),
        folder=str(PROJECT),
        stop_seconds=15,
    )


def worker(
    environment: Mapping[str, str], *, queues: str = f"{SUBMIT},{BACKGROUND}", concurrency: int = 4
) -> Service:
    """A Celery worker with processes, which Celery kills when a task exceeds its time limit."""
    return _worker("worker", environment, queues, f"--concurrency {concurrency}")


def background(environment: Mapping[str, str], *, threads: int = 32) -> Service:
    """A Celery worker for all but sends, which mostly waits for processors: threads, one process.

    Many threads, because each silent processor holds some of them, and nobody else may notice.
    """
    return _worker("background", environment, BACKGROUND, f"--pool threads --concurrency {threads}")


def _worker(name: str, environment: Mapping[str, str], queues: str, options: str) -> Service:
    """Ready when it answers a ping over the broker.

    It gets the time that its longest task may take (CELERY_TASK_TIME_LIMIT) to stop.
    """
    host = f"{name}-{os.getpid()}@localhost"
    return Service(
        name=name,
        command=[
            *_celery("worker", "--hostname", host, "--queues", queues, *options.split()),
            *("--without-mingle", "--without-gossip"),  # there are no peers to wait for
        ],
        environment=_measuring(name, environment),
        ready=lambda: _worker_answers(environment["REDIS_URL"], host),
        folder=str(PROJECT),
        stop_seconds=90,
    )


def beat(environment: Mapping[str, str], schedule: Path) -> Service:
    """Celery's clock, which remembers in the file ``schedule`` what it did when."""
    return Service(
        name="beat",
        command=_celery("beat", "--schedule", str(schedule), "--pidfile", ""),
        environment=environment,
        folder=str(PROJECT),
    )


def sandbox(environment: Mapping[str, str], port: int, state: Path) -> Service:
    """The four processors' sandbox with the demo's payments, kept in the file ``state``."""
    options = f"--port {port} --seed 1 --payments 2000 --state"
    return Service(
        name="sandbox",
        command=_manage("sandbox", *options.split(), str(state)),
        environment=environment,
        ready=lambda: _answers(f"http://127.0.0.1:{port}/_sandbox/"),
        folder=str(PROJECT),
    )


def task(environment: Mapping[str, str], command: str, *arguments: str) -> Service:
    """One run of a management command."""
    return Service(
        name=command,
        command=_manage(command, *arguments),
        environment=environment,
        folder=str(PROJECT),
    )


def _measuring(name: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    """With a folder of its own for what it measures, beside those of the others."""
    if folder := environment.get("METRICS_DIR"):
        return {**environment, "PROMETHEUS_MULTIPROC_DIR": f"{folder}/{name}"}
    return environment


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(PROJECT / "manage.py"), *arguments]


def _celery(*arguments: str) -> list[str]:
    application = ("--app", "refunds_site.celery")
    return [sys.executable, "-m", "celery", *application, *arguments, "--loglevel", "INFO"]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a loopback address of ours
            return True
    except OSError:
        return False


def _worker_answers(broker_url: str, name: str) -> bool:
    from celery import Celery
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    with Celery(broker=broker_url, set_as_current=False) as application:
        try:
            return bool(application.control.ping(destination=[name], timeout=0.5))
        except (OperationalError, RedisError):  # a pooled connection may be dead
            return False
