"""What each process measures of itself, for ``/metrics``.

Every one has labels: only then is nothing written before a process has something to say.
"""

from __future__ import annotations

from django.http import HttpRequest
from prometheus_client import Histogram

from gateways.measuring import observe

_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUEST_SECONDS = Histogram(
    "refund_desk_request_seconds",
    "Time to answer a request, by the name of its address and the class of its status.",
    ["route", "status"],
    buckets=_BUCKETS,
)
TASK_SECONDS = Histogram(
    "refund_desk_task_seconds",
    "Time that a task took, by its name and how it ended.",
    ["task", "outcome"],
    buckets=_BUCKETS,
)


def measure_request(request: HttpRequest, status: int, seconds: float) -> None:
    """Names of addresses are few; addresses themselves hold ids, and there is no end of them."""
    found = request.resolver_match
    route = found.view_name or found.route if found else "none"
    observe(REQUEST_SECONDS, (route, f"{status // 100}xx"), seconds)
