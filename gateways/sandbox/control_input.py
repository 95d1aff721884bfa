"""Reads what a person or a script posts to the control addresses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateways.moments import in_utc
from gateways.money import MAX_MINOR, InvalidAmount, parse_amount


class ControlError(ValueError):
    """Input that cannot be followed; the text says what is wrong."""


def only(wish: Mapping[str, Any], *known: str) -> None:
    """Refuse fields that mean nothing."""
    for name in wish:
        if name not in known:
            raise ControlError(f"Unknown field `{name}`. Known: {', '.join(sorted(known))}.")


def text_of(wish: Mapping[str, Any], name: str) -> str:
    """A text; empty when absent."""
    value = wish.get(name, "")
    if not isinstance(value, str):
        raise ControlError(f"`{name}` is text.")
    return value


def texts_of(wish: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The texts that are there; null is kept where a name or an address may be missing."""
    found: dict[str, Any] = {}
    for name in names:
        if name in wish:
            nullable = name in ("payer_name", "payer_email") and wish[name] is None
            found[name] = None if nullable else text_of(wish, name)
    return found


def choice_of(wish: Mapping[str, Any], name: str, options: tuple[str, ...]) -> None:
    """Refuse a word that is none of these."""
    if name in wish and wish[name] not in options:
        words = ", ".join(option or "empty" for option in options)
        raise ControlError(f"`{name}` is one of {words}.")


def amount_of(wish: Mapping[str, Any], currency: str) -> int | None:
    """``amount`` (text in major units) or ``amount_minor`` (a whole number); None when absent."""
    if "amount" in wish:
        try:
            return parse_amount(wish["amount"], currency).minor
        except InvalidAmount as error:
            raise ControlError(f"`amount` is not an amount of {currency}: {error.code}.") from error
    minor = wish.get("amount_minor")
    if minor is None:
        return None
    if type(minor) is not int or not 0 < minor <= MAX_MINOR:
        raise ControlError("`amount_minor` is a whole number above zero.")
    return minor


def number_of(wish: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A number that is not negative."""
    value = wish.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ControlError(f"`{name}` is a number.")
    if not 0 <= value <= 10_000_000_000:
        raise ControlError(f"`{name}` is not negative and not absurd.")
    return value


def moment_of(wish: Mapping[str, Any], name: str) -> datetime | None:
    """An ISO 8601 time with its zone, in UTC; None when absent."""
    text = text_of(wish, name)
    if not text:
        return None
    try:
        written = datetime.fromisoformat(text)
        moment = in_utc(written)
    except ValueError as error:
        raise ControlError(f"`{name}` is not an ISO 8601 time.") from error
    if written.tzinfo is None:
        raise ControlError(f"`{name}` says no time zone; write Z for UTC.")
    return moment
