"""The id of a request follows what was asked for: into the message, the worker and its lines.

A message that nobody asked for, such as one of beat, begins an id of its own; what its task hands
out carries that on. What a refund was asked for with is bound where it is taken up
(:mod:`refunds.turns`), because its message may come from a sweep.
"""

from __future__ import annotations

import re
import time
from typing import Any

import structlog
from celery import Task
from celery.signals import before_task_publish, task_postrun, task_prerun
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from gateways.measuring import observe

from .measures import TASK_SECONDS

log = structlog.get_logger("refunds_site.task")

_HEADER = "request_id"
# What callers and brokers hand us ends up in every line, so it is no more than a word.
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}", re.ASCII)
_SWEEPS = "sweep"  # they run every few seconds: a line for each would drown the others


def safe_id(text: object) -> str:
    """The id if it can stand in a line, else ''."""
    return text if isinstance(text, str) and _SAFE.fullmatch(text) else ""


@before_task_publish.connect
def hand_on(headers: dict[str, Any], **_signal: Any) -> None:
    """Put the id of whatever is under way into a message that is about to leave."""
    if request_id := get_contextvars().get("request_id"):
        headers[_HEADER] = request_id


@task_prerun.connect
def bind(task_id: str, task: Task[..., Any], **_signal: Any) -> None:
    clear_contextvars()
    request_id = safe_id(task.request.get(_HEADER)) or task_id.replace("-", "")
    bind_contextvars(request_id=request_id, task_id=task_id)
    task.request.update(began=time.monotonic())


@task_postrun.connect
def end(task: Task[..., Any], state: str | None = None, **_signal: Any) -> None:
    """Measure a task, and write its line with whatever was bound since it began."""
    began = task.request.get("began")
    if began is None:  # it was called as a function
        return
    seconds, outcome = time.monotonic() - began, (state or "unknown").lower()
    observe(TASK_SECONDS, (task.name, outcome), seconds)
    queue = (task.request.delivery_info or {}).get("routing_key")
    tell = log.debug if queue == _SWEEPS and outcome == "success" else log.info
    tell("task", task=task.name, outcome=outcome, milliseconds=round(seconds * 1000))
    clear_contextvars()
