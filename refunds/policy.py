"""Whether a second person has to approve a refund: pure functions from facts to reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.money import Money

from .models import RuleKind

# Whom a rule is for, and where: a rule that is nearer goes before one that is not.
_PERSON, _ROLE, _EVERYBODY = range(3)
Scope = tuple[int, int | None, bool]  # whom, the role, whether for every account


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A rule as somebody set it; a ``value`` of None took it back.

    ``role`` is the key of a role that the person has. ``by_subject``: the person whom it is asked
    about set it.
    """

    kind: RuleKind
    value: int | None
    of_account: bool = False
    role: int | None = None
    of_person: bool = False
    by_subject: bool = False

    @property
    def scope(self) -> Scope:
        whom = _PERSON if self.of_person else _EVERYBODY if self.role is None else _ROLE
        return whom, self.role, not self.of_account


@dataclass(frozen=True, slots=True)
class Reason:
    """Why another person has to approve, in a sentence."""

    kind: RuleKind
    sentence: str


def in_force(history: Iterable[RuleSet]) -> dict[RuleKind, int]:
    """The values that count for a person, from all that were set, the oldest first.

    Who makes a rule looser makes it looser for others only, and what they set for themselves never
    stands above what others set: alone nobody gets round a second person.
    """
    rules = list(history)
    of_all, of_others = _replay(rules), _replay(each for each in rules if not each.by_subject)
    return of_all | {
        kind: value if kind not in of_all else _stricter(kind, value, of_all[kind])
        for kind, value in of_others.items()
    }


def _replay(history: Iterable[RuleSet]) -> dict[RuleKind, int]:
    set_so_far: dict[RuleKind, dict[Scope, int]] = {}
    for each in history:
        before = set_so_far.get(each.kind, {})
        after = {scope: value for scope, value in before.items() if scope != each.scope}
        if each.value is not None:
            after[each.scope] = each.value
        if not (each.by_subject and _is_looser(each.kind, after, before)):
            set_so_far[each.kind] = after
    found = {kind: _nearest(kind, scopes) for kind, scopes in set_so_far.items()}
    return {kind: value for kind, value in found.items() if value is not None}


def reasons(
    amount: Money,
    limits: Mapping[RuleKind, int],
    measured: Mapping[RuleKind, int],
    *,
    is_risky: bool = False,
) -> list[Reason]:
    """Why another person has to approve a refund of ``amount``; empty where nobody has to.

    ``measured`` has, for each kind with a limit, what is compared with it: minor units of what goes
    back with this refund, or a number. A kind that could not be measured asks nobody. A customer
    whom people marked as risky needs no rule.
    """
    asked = [kind for kind in RuleKind if kind in limits and kind in measured]
    found = [
        Reason(kind, _sentence(kind, amount, limits[kind], measured[kind]))
        for kind in asked
        if is_beyond(kind, measured[kind], limits[kind])
    ]
    if is_risky:
        sentence = _("Another person has to approve it, because the customer is marked as risky.")
        found.append(Reason(RuleKind.RISKY, sentence))
    return found


def is_beyond(kind: RuleKind, measured: int, limit: int) -> bool:
    return measured < limit if kind == RuleKind.SOON else measured > limit


def _stricter(kind: RuleKind, one: int, other: int) -> int:
    return max(one, other) if kind == RuleKind.SOON else min(one, other)


def _is_looser(kind: RuleKind, after: dict[Scope, int], before: dict[Scope, int]) -> bool:
    new, old = _nearest(kind, after), _nearest(kind, before)
    if old is None or new == old:
        return False
    return new is None or is_beyond(kind, new, old)


def _nearest(kind: RuleKind, scopes: Mapping[Scope, int]) -> int | None:
    """That of the person, or of their roles, or of everybody; that of the account before others."""
    for whom in (_PERSON, _ROLE, _EVERYBODY):
        for of_all in (False, True):
            found = [
                value
                for (who, _role, all_), value in scopes.items()
                if (who, all_) == (whom, of_all)
            ]
            if found:
                return min(found) if kind == RuleKind.SOON else max(found)
    return None


def _sentence(kind: RuleKind, amount: Money, limit: int, measured: int) -> str:
    if kind.is_money:
        most, total = Money(limit, amount.currency), Money(measured, amount.currency)
        if kind == RuleKind.PAYMENT and amount.minor > limit:
            return _("Another person has to approve it, because it is more than %s.") % most
        return str(_SUMS[kind]) % {"sum": total, "limit": most}
    return str(_NUMBERS[kind]) % {"found": measured, "limit": limit}


_L = gettext_lazy
_SUMS: dict[RuleKind, str | Promise] = {
    RuleKind.PAYMENT: _L(
        "Another person has to approve it, because with it %(sum)s of this payment go back, more "
        "than %(limit)s."
    ),
    RuleKind.DAY: _L(
        "Another person has to approve it, because with it %(sum)s go back within a day at one "
        "person's word, more than %(limit)s."
    ),
}
# No number counts the word after it: a stored sentence is told anew without forms of the plural.
_NUMBERS: dict[RuleKind, str | Promise] = {
    RuleKind.AGE: _L(
        "Another person has to approve it, because the payment's age in days was %(found)s, more "
        "than %(limit)s."
    ),
    RuleKind.SOON: _L(
        "Another person has to approve it, because the payment's age in minutes was only "
        "%(found)s, less than %(limit)s."
    ),
    RuleKind.TRIES: _L(
        "Another person has to approve it, because the number of tries before it was %(found)s, "
        "more than %(limit)s."
    ),
    RuleKind.CUSTOMER: _L(
        "Another person has to approve it, because the number of refunds that the customer got in "
        "the last 30 days was %(found)s, more than %(limit)s."
    ),
    RuleKind.CARD: _L(
        "Another person has to approve it, because the number of refunds to cards like this one "
        "in the last 30 days was %(found)s, more than %(limit)s."
    ),
    RuleKind.OWN_CUSTOMER: _L(
        "Another person has to approve it, because the number of refunds by the same person to "
        "this customer in the last 90 days was %(found)s, more than %(limit)s."
    ),
    RuleKind.RISKY: _L(
        "Another person has to approve it, because the number of payments that the customer "
        "disputed in the last year was %(found)s, more than %(limit)s."
    ),
    RuleKind.UNUSUAL: _L(
        "Another person has to approve it, because it is more than %(limit)s × what the one who "
        "asks usually gives back."
    ),
}
