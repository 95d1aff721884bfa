"""Amounts that make a processor misbehave on purpose, as in the processors' own test modes."""

from __future__ import annotations

from dataclasses import dataclass

from gateways.money import exponent_of


@dataclass(frozen=True, slots=True)
class Magic:
    """One thing to do and what comes of it, as sentences for the page at ``/_sandbox/``."""

    do: str
    happens: str


def ending(amount_minor: int, currency: str) -> int:
    """What magic amounts are told by: the last three digits, in hundredths where there are any.

    14.02 USD, 1402 JPY and 14.020 KWD all end in 402.
    """
    return (amount_minor // 10 if exponent_of(currency) == 3 else amount_minor) % 1000
