"""What the approval rules say of a refund and of who approves it, by the rows of the moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group
from django.db import transaction as database
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.models import ProcessorAccount
from gateways.money import Money
from transactions.advisory import lock_until_commit
from transactions.models import Transaction

from . import policy
from .measures import Asked, approved_by, is_risky, measure
from .models import ApprovalRule, Refund, RuleKind
from .people import accounts_of, are_one_person, of_person
from .policy import Reason
from .states import Status
from .transitions import lock_refund, move

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# PostgreSQL's advisory locks from this number on, one per person.
_LOCKS = 7_266_859 << 32

_BEYOND_LIMIT = gettext_lazy(
    "You approve refunds up to %s. Somebody with a higher limit has to do it."
)
_BEYOND_LIMIT_TOGETHER = gettext_lazy(
    "You approve refunds up to %(limit)s, and together they would be %(sum)s. Somebody with a "
    "higher limit has to do it."
)


def limits_for(account: ProcessorAccount, currency: str, person: User) -> dict[RuleKind, int]:
    """The values of the rules that count for a person and an account, in minor units or numbers."""
    at_account = Q(account_roles__user=person, account_roles__account=account)
    roles = Group.objects.filter(Q(user=person) | at_account)
    for_them = Q(person=None, role=None) | Q(role__in=roles) | of_person(person, "person")
    rows = (
        ApprovalRule.objects.filter(Q(account=account) | Q(account=None), for_them)
        .filter(currency__in=["", currency])
        .select_related("made_by")
        .order_by("pk")
    )
    return policy.in_force(
        policy.RuleSet(
            kind=RuleKind(row.kind),
            value=row.value,
            of_account=row.account_id is not None,
            role=row.role_id,
            of_person=row.person_id is not None,
            by_subject=are_one_person(row.made_by, person),
        )
        for row in rows
    )


def reasons_for(
    transaction: Transaction, amount: Money, requester: User, retry_of: Refund | None = None
) -> list[Reason]:
    """Why another person would have to approve a refund that is asked for now."""
    return _reasons(Asked(transaction, amount, requester, timezone.now(), retry_of))


def reasons_under_lock(
    transaction: Transaction, amount: Money, requester: User, retry_of: Refund | None = None
) -> list[Reason]:
    """The same when it is asked for, its payment locked: nobody asks beside it meanwhile.

    Where a rule looks at all that a person asks for, that person asks for one thing at a time.
    """
    limits = limits_for(transaction.account, amount.currency, requester)
    if RuleKind.DAY in limits:
        lock_until_commit(_LOCKS + min(accounts_of(requester)))
    asked = Asked(transaction, amount, requester, timezone.now(), retry_of)
    return _reasons(asked, limits)


def reasons_now(refund: Refund) -> list[Reason]:
    """Why another person has to approve a refund, by the rules as they are now.

    What was asked for after it does not count, however long it has waited.
    """
    requester = refund.requested_by
    if requester is None:
        return []
    asked = Asked(
        refund.transaction, refund.amount, requester, refund.created_at, refund.retry_of, refund
    )
    return _reasons(asked)


def is_beyond_own_word(transaction: Transaction, amount: Money, requester: User) -> bool:
    """Whether it is more than the person may give back alone: then they prove who they are."""
    asked = reasons_for(transaction, amount, requester)
    return any(reason.kind in {RuleKind.PAYMENT, RuleKind.DAY} for reason in asked)


def why_ask_again(refund: Refund) -> list[Reason]:
    """Why a queued refund may not leave yet, by the rules as they are now: somebody approves it."""
    if refund.approved_by is None:
        return reasons_now(refund)
    if not Approver(refund.approved_by).why_not(refund):
        return []
    sentence = _("Another person has to approve it, because who did may not approve so much now.")
    return [Reason(RuleKind.APPROVING, sentence)]


class Approver:
    """A person who approves refunds: up to their limit, whatever parts a payment goes back in.

    Limits are read once for each account and currency, and what they approved before once for the
    payments of all ``refunds``.
    """

    def __init__(self, person: User, refunds: Iterable[Refund] = ()) -> None:
        self.person = person
        self._payments = {refund.transaction_id for refund in refunds}
        self._approved: list[Refund] | None = None
        self._limits: dict[tuple[int, str], int | None] = {}

    def why_not(self, refund: Refund) -> str:
        """The sentence why the person may not approve the refund, or ''."""
        limit = self._limit_for(refund.account, refund.currency)
        if limit is None:
            return ""
        if refund.amount_minor > limit.minor:
            return _BEYOND_LIMIT % limit
        parts = (each for each in self._approved_of(refund.transaction_id) if each != refund)
        together = sum((each.amount_minor for each in parts), refund.amount_minor)
        return self._why_not_together(limit, together)

    def why_not_all(self, accounts: Iterable[ProcessorAccount], amount: Money) -> str:
        """The same of refunds that are approved with one press, and of ``amount`` together."""
        limits = [self._limit_for(account, amount.currency) for account in accounts]
        found = [limit.minor for limit in limits if limit is not None]
        if not found:
            return ""
        return self._why_not_together(Money(min(found), amount.currency), amount.minor)

    def _why_not_together(self, limit: Money, together: int) -> str:
        if together <= limit.minor:
            return ""
        said = {"limit": limit, "sum": Money(together, limit.currency)}
        return str(_BEYOND_LIMIT_TOGETHER) % said

    def _limit_for(self, account: ProcessorAccount, currency: str) -> Money | None:
        key = (account.pk, currency)
        if key not in self._limits:
            limits = limits_for(account, currency, self.person)
            self._limits[key] = limits.get(RuleKind.APPROVING)
        limit = self._limits[key]
        return None if limit is None else Money(limit, currency)

    def _approved_of(self, payment: int) -> list[Refund]:
        if self._approved is None or payment not in self._payments:
            self._payments.add(payment)
            self._approved = list(approved_by(self.person, self._payments))
        return [each for each in self._approved if each.transaction_id == payment]


def ask_again(refund: Refund, why: list[Reason]) -> None:
    """Have a queued refund wait for another person to approve it, if it is still queued."""
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status != Status.QUEUED:
            return
        changes = {"needs_approval": True, "approved_by": None}
        move(locked, Status.AWAITING_APPROVAL, "approval_needed", data=told(why), changes=changes)


def told(why: list[Reason]) -> dict[str, Any]:
    """What the event of a refund keeps of the reasons; empty without one."""
    if not why:
        return {}
    return {"why": in_words(why), "rules": [[each.kind, each.sentence] for each in why]}


def told_reasons(data: Mapping[str, Any]) -> list[str]:
    """The sentences that an event keeps; those of before there were rules have one."""
    if "rules" in data:
        return [sentence for _kind, sentence in data["rules"]]
    return [data["why"]] if data.get("why") else []


def in_words(reasons: Iterable[Reason]) -> str:
    return " ".join(reason.sentence for reason in reasons)


def _reasons(asked: Asked, limits: dict[RuleKind, int] | None = None) -> list[Reason]:
    """Measures only what a rule asks about: without rules this costs two queries."""
    if limits is None:
        limits = limits_for(asked.transaction.account, asked.amount.currency, asked.requester)
    measured: dict[RuleKind, int] = {
        kind: found
        for kind in limits
        if kind != RuleKind.APPROVING and (found := measure(kind, asked)) is not None
    }
    return policy.reasons(asked.amount, limits, measured, is_risky=is_risky(asked))
