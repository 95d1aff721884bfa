"""What Celery is told, and that every task and queue has its place."""

import ast
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from celery.schedules import crontab
from celery.signals import task_postrun
from django.db import connection
from django.test.utils import CaptureQueriesContext
from kombu.transport.redis import Channel

from refunds_site import processes
from refunds_site.celery import app

PROJECT = Path(__file__).parents[2]
# Retries live in the rows (``next_action_at``); a broker hands such messages out again and again.
FORBIDDEN_KEYWORDS = {"eta", "countdown", "autoretry_for", "retry_backoff", "max_retries"}
FORBIDDEN_METHODS = {"retry", "apply_async"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("task_soft_time_limit", 45),
        ("task_time_limit", 60),
        ("task_ignore_result", True),
        ("task_serializer", "json"),
        ("accept_content", ["json"]),
        ("result_backend", None),
        ("worker_prefetch_multiplier", 1),
        ("worker_soft_shutdown_timeout", 65),
        ("worker_cancel_long_running_tasks_on_connection_loss", False),
        ("worker_deduplicate_successful_tasks", False),
        ("task_publish_retry", False),
    ],
)
def test_celery_is_told(name, value):
    assert app.conf[name] == value


def test_the_broker_hands_out_again_what_was_lost():
    options = app.conf.broker_transport_options
    # Longer than a task may live, so that nothing is handed out that is still being worked on.
    assert options["visibility_timeout"] == 300 > app.conf.task_time_limit
    assert options["unacked_restore_interval"] == 5
    assert options["unacked_restore_throttle"] == 1
    # kombu passes over names that it does not know.
    known = {*Channel.from_transport_options, "max_retries"}
    assert set(options) <= known


def test_every_task_has_a_queue_and_every_queue_a_worker(all_tasks):
    routes = app.conf.task_routes
    assert set(all_tasks) == set(routes)
    served = {*processes.SUBMIT.split(","), *processes.BACKGROUND.split(",")}
    assert {route["queue"] for route in routes.values()} <= served
    assert app.conf.task_default_queue in processes.BACKGROUND.split(",")


def test_the_worker_of_sends_does_nothing_else():
    submits = [name for name, to in app.conf.task_routes.items() if to["queue"] == "submit"]
    assert submits == ["refunds.tasks.send_refund"]


def test_tasks_that_may_run_for_long_are_not_handed_out_twice(all_tasks):
    for task in all_tasks.values():
        limit = task.time_limit or app.conf.task_time_limit
        outlives = limit >= app.conf.broker_transport_options["visibility_timeout"]
        assert task.acks_late is not outlives, task.name
        assert outlives is (app.conf.task_routes[task.name]["queue"] == "bulk"), task.name


def test_what_beat_sends_expires_before_it_piles_up(all_tasks):
    for name, entry in app.conf.beat_schedule.items():
        assert entry["task"] in all_tasks, name
        schedule, expires = entry["schedule"], entry["options"]["expires"]
        if isinstance(schedule, timedelta):
            assert expires <= schedule.total_seconds(), name
        else:
            assert isinstance(schedule, crontab), name
            assert expires <= 3600, name


def test_no_task_retries_by_the_broker(all_tasks):
    assert [name for name, task in all_tasks.items() if hasattr(task, "autoretry_for")] == []
    apps = ("access", "gateways", "refunds", "refunds_site", "transactions")
    files = [path for name in apps for path in (PROJECT / name).rglob("*.py")]
    assert [found for path in files for found in _calls_that_retry(path)] == []


def _calls_that_retry(path: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        f"{path.relative_to(PROJECT)}:{call.lineno}"
        for call in calls
        if FORBIDDEN_KEYWORDS & {keyword.arg for keyword in call.keywords}
        or (isinstance(call.func, ast.Attribute) and call.func.attr in FORBIDDEN_METHODS)
    ]


def test_compose_runs_the_same_workers():
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    queues = {
        name: option.removeprefix("--queues=")
        for name, service in services.items()
        for option in service.get("command", [])
        if option.startswith("--queues=")
    }
    assert queues == {"worker": processes.SUBMIT, "background": processes.BACKGROUND}
    for name in queues:
        assert services[name]["stop_signal"] == "SIGTERM"
        assert services[name]["stop_grace_period"] == "90s"
    redis = " ".join(services["redis"]["command"])
    for words in ("--requirepass", "--appendonly yes", "--appendfsync everysec", "noeviction"):
        assert words in redis
    assert "ports" not in services["redis"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "on"),
        ("lock_timeout", "3s"),
        ("statement_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "15s"),
    ],
)
def test_a_session_of_the_database_is_told(name, value):
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        assert cursor.fetchone() == (value,)


def test_a_worker_forgets_the_statements_of_a_task(db):
    with CaptureQueriesContext(connection), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert connection.queries
        task_postrun.send(sender=None)
        assert not connection.queries
