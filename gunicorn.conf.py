"""What gunicorn reads at its start, wherever it is started in this folder."""

import os
import tempfile
from pathlib import Path
from typing import Any

_KEY = "IDEMPOTENCY-KEY"

# Its workers tell each other what they measure, or /metrics would show those of one. It has to be
# set before the site is imported, and a server that takes over goes on with it.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    _folder = Path(tempfile.mkdtemp(prefix="refund-desk-metrics-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_folder / "web")


def pre_request(_worker: Any, request: Any) -> None:
    """Empty a repeated Idempotency-Key, so that the API refuses it.

    WSGI joins repeated headers with a comma, and a comma is a legal part of a key.
    """
    others = [header for header in request.headers if header[0] != _KEY]
    if len(request.headers) - len(others) > 1:
        request.headers = [*others, (_KEY, "")]


def pre_exec(server: Any) -> None:
    """Let a server that takes over (SIGUSR2) start as this one did.

    As a script, ``python -m gunicorn`` would find gunicorn's ``http`` where Python's is meant.
    """
    arguments = server.START_CTX["args"]
    if arguments[1].endswith("__main__.py"):
        arguments[1:2] = ["-m", "gunicorn"]
