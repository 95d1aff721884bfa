"""Stripe's parameters and errors: bracketed form fields, strict integers, `{"error": …}`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .http import Reply, json_reply

_NESTED = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_BOUNDS = ("gt", "gte", "lt", "lte")

Params = dict[str, Any]


class StripeError(Exception):
    """A refusal in Stripe's words.

    ``executed`` is False for what is found before the request runs; only what ran is stored
    under the idempotency key.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str = "",
        param: str = "",
        executed: bool = True,
        **more: str,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.body = {
            name: value
            for name, value in {
                "code": code,
                "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
                if code
                else "",
                "message": message,
                "param": param,
                "type": kind,
                **more,
            }.items()
            if value
        }

    def reply(self) -> Reply:
        return json_reply({"error": self.body}, self.status)


def parse(pairs: Iterable[tuple[str, str]]) -> Params:
    """Form fields as nested values: ``a[b]=1`` is ``{"a": {"b": "1"}}``; lists keep their order."""
    params: Params = {}
    for name, value in pairs:
        nested = _NESTED.fullmatch(name)
        if not nested:
            params[name] = value
            continue
        inner = params.setdefault(nested[1], {})
        if not isinstance(inner, dict):
            raise invalid(f"Invalid hash or array: {nested[1]}", nested[1])
        inner[nested[2] or str(len(inner))] = value
    return params


def invalid(message: str, param: str, code: str = "") -> StripeError:
    """A parameter that is refused before anything runs."""
    return StripeError(message, param=param, code=code, executed=False)


def check_known(params: Mapping[str, Any], *known: str) -> None:
    """Stripe refuses what it does not know."""
    for name in params:
        if name not in known:
            raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")


def text(params: Mapping[str, Any], name: str) -> str:
    """A text parameter; empty when absent. An empty text is refused."""
    value = params.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {name}", name)
    if not value:
        raise invalid(
            f"You passed an empty string for '{name}', which cannot be unset.",
            name,
            "parameter_invalid_empty",
        )
    return value


def integer(params: Mapping[str, Any], name: str, where: str = "") -> int | None:
    """An integer parameter; None when absent. ``1.0``, ``1e3`` and spaces are not integers."""
    value = text(params, name)
    if not value:
        return None
    if not _INTEGER.fullmatch(value):
        raise invalid(f"Invalid integer: {value}", where or name, "parameter_invalid_integer")
    return int(value)


def choice(params: Mapping[str, Any], name: str, options: tuple[str, ...]) -> str:
    """One of a few words; empty when absent."""
    value = text(params, name)
    if value and value not in options:
        raise invalid(f"Invalid {name}: must be one of {', '.join(options)}", name)
    return value


def limit(params: Mapping[str, Any]) -> int:
    """Page size: 1 to 100, 10 by default."""
    value = integer(params, "limit")
    if value is None:
        return 10
    if not 1 <= value <= 100:
        raise invalid("Invalid limit: must be between 1 and 100", "limit")
    return value


def created_window(params: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """``created`` as seconds: first included, last excluded; None where open."""
    wish = params.get("created")
    if wish is None:
        return None, None
    if isinstance(wish, str):
        moment = integer(params, "created")
        return moment, None if moment is None else moment + 1
    bounds: dict[str, int] = {}
    for name in wish:
        if name not in _BOUNDS:
            raise invalid(
                f"Received unknown parameter: created[{name}]", "created", "parameter_unknown"
            )
        bounds[name] = integer(wish, name, f"created[{name}]") or 0
    first = [bounds[name] + (name == "gt") for name in ("gt", "gte") if name in bounds]
    last = [bounds[name] + (name == "lte") for name in ("lt", "lte") if name in bounds]
    return max(first, default=None), min(last, default=None)


def expansions(
    params: Mapping[str, Any], known: frozenset[str], prefix: str = ""
) -> frozenset[str]:
    """What to expand, without the list's ``data.``."""
    wish = params.get("expand", {})
    if isinstance(wish, str):
        raise invalid("Invalid array", "expand")
    paths = set()
    for path in wish.values():
        inner = path.removeprefix(prefix)
        if not path.startswith(prefix) or inner not in known:
            raise invalid(f"This property cannot be expanded ({path}).", "expand")
        paths.add(inner)
    return frozenset(paths)


def metadata(params: Mapping[str, Any]) -> dict[str, str]:
    """``metadata[…]``: at most 50 keys of 40 characters with values of 500."""
    wish = params.get("metadata", {})
    if wish == "":
        return {}
    if isinstance(wish, str):
        raise invalid("Invalid hash", "metadata")
    if len(wish) > 50:
        raise invalid("Metadata has at most 50 keys.", "metadata")
    for key, value in wish.items():
        if len(key) > 40 or len(value) > 500:
            raise invalid(
                f"Metadata keys have at most 40 characters and values 500: {key[:40]}", "metadata"
            )
    return dict(wish)
