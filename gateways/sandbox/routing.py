"""Which call an address is, for the dialects that have one address per call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

_PLACE = re.compile(r"\{\w+\}")


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` has places like ``{id}``; ``call`` is what faults match on; ``handler`` a method."""

    method: str
    path: str
    call: str
    handler: str


class Routes:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [
            (
                route,
                re.compile(
                    _PLACE.sub(
                        "([^/]+)", re.escape(route.path).replace(r"\{", "{").replace(r"\}", "}")
                    )
                ),
            )
            for route in routes
        ]

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
        """The route and its decoded places, or None."""
        for route, pattern in self._routes:
            if route.method == method and (found := pattern.fullmatch(path)):
                return route, tuple(unquote(place) for place in found.groups())
        return None
