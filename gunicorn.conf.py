"""What gunicorn reads at its start, wherever it is started in this folder."""

from typing import Any

_KEY = "IDEMPOTENCY-KEY"


def pre_request(_worker: Any, request: Any) -> None:
    """Empty a repeated Idempotency-Key, so that the API refuses it.

    WSGI joins repeated headers with a comma, and a comma is a legal part of a key.
    """
    others = [header for header in request.headers if header[0] != _KEY]
    if len(request.headers) - len(others) > 1:
        request.headers = [*others, (_KEY, "")]
