"""``/metrics``: what Prometheus reads. Not for the public: it tells how much money goes back.

Answered before any other middleware, as the probes are: whoever scrapes speaks plain HTTP and names
the pod's address as host.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from .collectors import Facts, Processes, Queues


class MetricsMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.registry = CollectorRegistry(auto_describe=False)
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        for collector in (
            Facts(),
            Queues(),
            Processes(Path(folder).parent) if folder else REGISTRY,
        ):
            self.registry.register(collector)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info != "/metrics":
            return self.get_response(request)
        if not settings.METRICS_TOKEN and not _is_from_here(request):
            return HttpResponse(status=HTTPStatus.NOT_FOUND)
        if settings.METRICS_TOKEN and not _has_token(request):
            challenge = {"WWW-Authenticate": "Bearer"}
            return HttpResponse(status=HTTPStatus.UNAUTHORIZED, headers=challenge)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return HttpResponse(
            generate_latest(self.registry),
            content_type=CONTENT_TYPE_LATEST,
            headers={"Cache-Control": "no-store"},
        )


def _has_token(request: HttpRequest) -> bool:
    expected = f"Bearer {settings.METRICS_TOKEN}".encode()
    return hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected)


def _is_from_here(request: HttpRequest) -> bool:
    """While developing, whoever sits at this machine needs no token."""
    if not settings.DEBUG or "X-Forwarded-For" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:  # a socket that is a file has no address
        return False
