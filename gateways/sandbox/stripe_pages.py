"""Stripe's lists: newest first, a cursor that is an object's id, `has_more`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from . import stripe_params as parameters
from .stripe_params import Params, StripeError
from .timeline import Dated, Timeline

PAGE_PARAMETERS = ("created", "ending_before", "expand", "limit", "starting_after")


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed: its rows in order, how one is found by its id, how one looks."""

    url: str
    line: Timeline[Any]
    find: Callable[[str], Dated | None]
    render: Callable[[Any], Any]


def page(listing: Listing, params: Params) -> dict[str, Any]:
    """One page; costs the page's length, however long the list is."""
    limit = parameters.limit(params)
    since, until = parameters.created_window(params)
    window = listing.line.span(_moment(since), _moment(until))
    first, last = window.start, window.stop
    if before := parameters.text(params, "ending_before"):
        first = max(first, _position(listing, before, "ending_before") + 1)
        shown = range(first, min(last, first + limit))
        has_more = shown.stop < last
    else:
        if after := parameters.text(params, "starting_after"):
            last = min(last, _position(listing, after, "starting_after"))
        shown = range(max(first, last - limit), max(first, last))
        has_more = shown.start > first
    rows = listing.line.at(shown[::-1])
    return {
        "object": "list",
        "url": listing.url,
        "has_more": has_more,
        "data": [listing.render(row) for row in rows],
    }


def _position(listing: Listing, object_id: str, param: str) -> int:
    row = listing.find(object_id)
    place = listing.line.position(row) if row else None
    if place is None:
        raise StripeError(
            f"No such object in this list: '{object_id}'", code="resource_missing", param=param
        )
    return place


def _moment(second: int | None) -> datetime | None:
    if second is None:
        return None
    return datetime.fromtimestamp(min(max(second, 0), 32_503_680_000), UTC)
