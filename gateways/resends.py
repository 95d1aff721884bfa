"""What the answer to a second try says about the first one: nothing, unless it settles both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .base import RefundOrder
from .errors import NotSent, OutcomeUnknown


@contextmanager
def unproven_when_resent(order: RefundOrder) -> Iterator[None]:
    """Around the sending of an order: "this was not sent" is not "nothing was sent".

    Raises:
        OutcomeUnknown: in place of NotSent, when the order was sent before.
    """
    try:
        yield
    except NotSent as error:
        if order.first_sent_at is None:
            raise
        raise OutcomeUnknown(
            f"{error} An earlier try may have been carried out.", exchanges=error.exchanges
        ) from error
