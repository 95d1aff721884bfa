"""What every call to a processor leaves behind for operations: a line and a measurement."""

from __future__ import annotations

import structlog
from prometheus_client import Histogram

from .base import Exchange
from .measuring import observe

log = structlog.get_logger(__name__)

_SECONDS = Histogram(
    "refund_desk_processor_call_seconds",
    "Time of a call to a processor, by the class of the HTTP status, or none without an answer.",
    ["processor", "status"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 40),
)


def note(
    processor: str, account: str, host: str, exchange: Exchange, *, may_move_money: bool
) -> None:
    """Say that a call was made: never with its address or body, which may name a customer.

    Reads that were answered are thousands in a sync, and no line by themselves.
    """
    status = "none" if exchange.status is None else f"{exchange.status // 100}xx"
    observe(_SECONDS, (processor, status), exchange.milliseconds / 1000)
    tell = log.info if may_move_money or exchange.status is None else log.debug
    tell(
        "processor_call",
        account=account,
        host=host,
        method=exchange.method,
        status=exchange.status,
        milliseconds=exchange.milliseconds,
        error=exchange.error,
    )
