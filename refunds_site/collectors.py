"""Where ``/metrics`` has its numbers from: the rows, the broker, and what each process measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import Error, connection
from django.db import transaction as database
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gateways.models import ProcessorAccount

from .facts import QUESTIONS, Question
from .health import open_broker

log = structlog.get_logger(__name__)

_KEPT_SECONDS = 5  # however many scrape, a process asks the rows no more often
_STATEMENT_TIMEOUT = "2s"

# The name and the processor of each account, by its key.
Accounts = dict[int, tuple[str, str]]
# Whatever the labels are → a number for each gauge.
Rows = dict[tuple[Any, ...], Sequence[Any]]


class Facts(Collector):
    """What the rows say. While the database does not answer it says just that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._kept_until = 0.0

    def describe(self) -> Iterable[Metric]:
        return []  # it would ask the rows while the site starts

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() >= self._kept_until:
                self._kept = list(_ask())
                self._kept_until = time.monotonic() + _KEPT_SECONDS
            return self._kept


def _ask() -> Iterator[Metric]:
    began = time.monotonic()
    found: list[Metric] = []
    try:
        with database.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_STATEMENT_TIMEOUT])
            known = ProcessorAccount.objects.values_list("pk", "slug", "processor")
            accounts = {pk: (slug, processor) for pk, slug, processor in known}
            for question in QUESTIONS:
                cursor.execute(question.sql)
                rows = _by_labels(question, cursor.fetchall(), accounts)
                found += _gauges(question, rows, accounts)
        is_up = 1
    except Error as error:
        log.warning("facts_not_read", error=str(error).partition("\n")[0])
        found, is_up = [], 0
    yield _gauge("database_up", "1 if the database answered everything in time.", [((), is_up)])
    seconds = time.monotonic() - began
    yield _gauge("facts_seconds", "How long the database took to answer.", [((), seconds)])
    yield from found


def _by_labels(question: Question, fetched: list[Any], accounts: Accounts) -> Rows:
    """What was answered, and 0 for what the question names and no row has."""
    width = len(question.labels)
    rows: Rows = {row[:width]: row[width:] for row in fetched}
    if question.values:
        first = {labels[:-1] for labels in rows}
        if width == 1:
            first = {()}
        elif question.labels[:-1] == ("account",):
            first = {(pk,) for pk in accounts}
        for labels in product(first, question.values):
            rows.setdefault((*labels[0], labels[1]), (0,) * len(question.gauges))
    return rows


def _gauges(question: Question, rows: Rows, accounts: Accounts) -> Iterator[Metric]:
    names, shown = question.labels, rows
    if "account" in names:  # always the first; one that was added a moment ago comes next time
        names = ("account", "processor", *names[1:])
        shown = {
            (*accounts[labels[0]], *labels[1:]): values
            for labels, values in rows.items()
            if labels[0] in accounts
        }
    for place, (name, text) in enumerate(question.gauges.items()):
        numbers = [(labels, values[place] or 0) for labels, values in shown.items()]
        yield _gauge(name, text, numbers, names)


class Queues(Collector):
    """How many messages wait at the broker. They are hints: what waits for money is in the rows."""

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        queues = sorted({route["queue"] for route in settings.CELERY_TASK_ROUTES.values()})
        try:
            with open_broker() as client:
                lengths = [((queue,), client.llen(queue)) for queue in queues]
            is_up = 1
        except redis.RedisError:
            lengths, is_up = [], 0
        yield _gauge("broker_up", "1 if the broker answered in time.", [((), is_up)])
        yield _gauge("queue_messages", "Messages that no worker has yet.", lengths, ["queue"])


class Processes(Collector):
    """The sum of what all processes measured whose folders stand beside each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self._folder.glob("*/*.db")]
        merge: Callable[[list[str]], Iterable[Metric]] = MultiProcessCollector.merge
        return merge(files)


def _gauge(
    name: str, text: str, numbers: Iterable[tuple[tuple[Any, ...], Any]], labels: Sequence[str] = ()
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"refund_desk_{name}", text, labels=labels)
    for values, number in numbers:
        gauge.add_metric([str(value) for value in values], float(number))
    return gauge
