"""Structured logs: one line per event, an allow-list of fields, never a body or a secret."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

from audit.context import from_request
from audit.text import printable
from refunds_site.masking import mask_event

from .measures import measure_request
from .tracing import safe_id

_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

STRUCTLOG: dict[str, Any] = {
    "processors": [*_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    "logger_factory": structlog.stdlib.LoggerFactory(),
    "cache_logger_on_first_use": True,
}


def configuration(*, debug: bool) -> dict[str, Any]:
    """Django's LOGGING: key=value lines while developing, JSON in production."""
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False)
        if debug
        else structlog.processors.JSONRenderer()
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    mask_event,
                    renderer,
                ],
                "foreign_pre_chain": _PROCESSORS,
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["console"], "level": "INFO"},
        "loggers": {
            # Its own handlers write past the mask: to the console in debug mode, else by mail.
            "django": {"level": "INFO"},
            "django.server": {"level": "INFO", "propagate": True},
            # The SDKs log credentials and bodies below WARNING.
            "authorizenet": {"level": "WARNING"},
            "paypalrestsdk": {"level": "WARNING"},
            "stripe": {"level": "WARNING"},
            "pyxb": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
        },
    }


class RequestLogMiddleware:
    """Give every request an id, bind it to the log and return it to the caller.

    It is always ours: it stands in the audit trail. One that the caller sends is named beside it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.log = structlog.get_logger("refunds_site.request")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if callers := safe_id(request.headers.get("X-Request-ID")):
            structlog.contextvars.bind_contextvars(callers_request_id=callers)
        started = time.monotonic()
        with from_request(request, request_id):
            response = self.get_response(request)
        response["X-Request-ID"] = request_id
        seconds = time.monotonic() - started
        measure_request(request, response.status_code, seconds)
        self.log.info(
            "request",
            method=request.method,
            path=printable(request.path),
            status=response.status_code,
            milliseconds=round(seconds * 1000),
        )
        return response
