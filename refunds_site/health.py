"""``/healthz``: the process is up. ``/readyz``: what it needs is in order.

Answered before any other middleware: a probe speaks plain HTTP, names the pod's address as host and
asks every few seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from http import HTTPStatus

import redis
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse

_BROKER_SECONDS = 1


class HealthMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        probe = _PROBES.get(request.path_info)
        if probe is None:
            return self.get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        parts = probe()
        healthy = all(word == "ok" for word in parts.values())
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return JsonResponse(parts, status=status, headers={"Cache-Control": "no-store"})


def _is_up() -> dict[str, str]:
    return {"process": "ok"}


def _is_ready() -> dict[str, str]:
    """One word for each part: ``ok``, ``down``, ``pending`` (migrations) or ``unknown``."""
    database = _check_database()
    return {
        "database": database,
        "broker": _check_broker(),
        "migrations": _check_migrations() if database == "ok" else "unknown",
    }


_PROBES = {"/healthz": _is_up, "/readyz": _is_ready}


def _check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "down"
    return "ok"


def open_broker() -> redis.Redis:
    """A connection to the broker that gives up soon: who asks how things are does not wait."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_BROKER_SECONDS, socket_timeout=_BROKER_SECONDS
    )


def _check_broker() -> str:
    try:
        with open_broker() as client:
            client.ping()
    except redis.RedisError:
        return "down"
    return "ok"


def _check_migrations() -> str:
    try:
        applied = MigrationRecorder(connection).applied_migrations()
    except Error:
        return "unknown"
    return "ok" if _newest_migrations() <= set(applied) else "pending"


@cache
def _newest_migrations() -> set[tuple[str, str]]:
    # What is on disk belongs to this process, so it is read once.
    return set(MigrationLoader(None).graph.leaf_nodes())
