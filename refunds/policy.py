"""Whether a second person has to approve a refund, and why: pure functions of its facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from gateways.money import Money


@dataclass(frozen=True, slots=True)
class LimitSet:
    """A limit as somebody set it, for one account or for all, in minor units; None took it back."""

    of_account: bool
    above_minor: int | None
    by_requester: bool


def limit_for_requester(history: Iterable[LimitSet]) -> int | None:
    """The limit that counts for who asks, from all that were set, the oldest first.

    Who raises a limit raises it for others only: alone nobody gets round a second person.
    """
    limits: dict[bool, int | None] = {True: None, False: None}
    for each in history:
        changed = limits | {each.of_account: each.above_minor}
        if not (each.by_requester and _is_higher(_in_force(changed), _in_force(limits))):
            limits = changed
    return _in_force(limits)


def why_approval(amount: Money, before: Money, limit: Money | None) -> str:
    """The sentence why somebody else has to approve a refund, or ''.

    ``before`` went back of the same payment or is on its way: a refund in many parts is asked about
    like a refund in one.
    """
    if limit is None or before.minor + amount.minor <= limit.minor:
        return ""
    if amount.minor > limit.minor:
        return _("Another person has to approve it, because it is more than %s.") % limit
    sentence = _(
        "Another person has to approve it, because with it %(sum)s of this payment go back, more "
        "than %(limit)s."
    )
    return sentence % {"sum": Money(before.minor + amount.minor, amount.currency), "limit": limit}


def _in_force(limits: dict[bool, int | None]) -> int | None:
    """That of the account, or else that of all."""
    own = limits[True]
    return limits[False] if own is None else own


def _is_higher(one: int | None, other: int | None) -> bool:
    """None is no limit, and higher than any."""
    return other is not None and (one is None or one > other)
