"""Raising and closing the cases that need a person, each with an owner from the first moment.

A case about a refund is raised and closed under the refund's lock, because the refund's own columns
repeat its oldest open case.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from heapq import heapreplace
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db.models import Count, FilteredRelation, Model, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from access.rights import account_of
from gateways.models import ProcessorAccount
from transactions.models import Transaction

from .clock import database_now
from .history import record_event, record_for_all
from .models import Attention, AttentionKind, Refund, Ruling, WebhookEvent
from .states import Status

if TYPE_CHECKING:
    from django.contrib.auth.models import User

K = AttentionKind

# What is settled when a refund comes to a state, whoever proved it.
_SETTLED_BY: dict[Status, frozenset[AttentionKind]] = {
    Status.SUCCEEDED: frozenset(
        {K.UNKNOWN_OUTCOME, K.PENDING_LONG, K.STUCK, K.NOT_SENT, K.AMOUNT_DIFFERS, K.MISSING}
    ),
    Status.FAILED: frozenset({K.UNKNOWN_OUTCOME, K.PENDING_LONG, K.STUCK, K.NOT_SENT}),
    Status.CANCELED: frozenset({K.NOT_APPROVED, K.STUCK, K.NOT_SENT}),
    Status.UNKNOWN: frozenset({K.NOT_SENT}),  # it was
    Status.PENDING: frozenset({K.UNKNOWN_OUTCOME, K.NOT_SENT}),
    Status.QUEUED: frozenset({K.UNKNOWN_OUTCOME, K.NOT_APPROVED}),
    Status.RETURNED: frozenset({K.MISSING}),
}
# In these it is not known what became of a refund. Sent once more, it is no wiser.
_UNPROVEN = frozenset({Status.UNKNOWN, Status.SENDING})


def flag(
    refund: Refund, kind: AttentionKind, reason: str, evidence: Mapping[str, Any] | None = None
) -> None:
    """Put a locked refund before a person; a case of the same kind that is open stays as it is."""
    case = _case_of(refund, kind, reason, choose_owner(refund), evidence)
    if not _insert(case):
        return
    repeat_oldest(refund)
    record_event(refund, "needs_attention", data={"kind": kind, "reason": reason})


def flag_anew(
    refund: Refund, kind: AttentionKind, reason: str, evidence: Mapping[str, Any] | None = None
) -> None:
    """As :func:`flag`, but an open case that says something else gives way to a new one.

    Who has read the old one has not read this: what they press there counts for nothing.
    """
    case = Attention.objects.open().filter(refund=refund, kind=kind).first()
    told = (reason[:300], dict(evidence or {}))
    if case and (case.reason, case.evidence) != told:
        close_cases(refund, {kind}, _("Something else is known by now: see the newer case."))
    flag(refund, kind, reason, evidence)
    if case and case.owner_id:
        Attention.objects.open().filter(refund=refund, kind=kind).update(owner=case.owner_id)


def flag_all(refunds: Sequence[Refund], kind: AttentionKind, reason: str, owners: Owners) -> None:
    """Put locked refunds without an open case of this kind before people, in few statements."""
    raised_at = database_now()
    cases = [_case_of(refund, kind, reason, owners.choose(refund)) for refund in refunds]
    for case in cases:
        case.raised_at = raised_at
    Attention.objects.bulk_create(cases, ignore_conflicts=True)
    first = Refund.objects.filter(pk__in=[each.pk for each in refunds], attention_reason=None)
    first.update(attention_reason=reason[:300], attention_since=raised_at)
    record_for_all(refunds, "needs_attention", {"kind": kind, "reason": reason})


def without_case(refunds: QuerySet[Refund], kind: AttentionKind) -> QuerySet[Refund]:
    """Those of the refunds that have no open case of this kind.

    All open cases are read once: statistics know nothing of thousands that were raised just now,
    and a join would read them all for each refund.
    """
    raised = Attention.objects.open().filter(kind=kind, refund__isnull=False)
    return refunds.exclude(pk__in=raised.values("refund_id"))


def raise_case(
    kind: AttentionKind,
    subject: str,
    reason: str,
    *,
    account: ProcessorAccount,
    transaction: Transaction | None = None,
    webhook: WebhookEvent | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> bool:
    """Put something that is no refund before a person; whether that was new.

    ``subject`` names it, such as ``transaction:17``: one open case of a kind is enough.
    """
    return _insert(
        Attention(
            kind=kind,
            subject=subject[:200],
            account=account,
            transaction=transaction,
            webhook=webhook,
            reason=reason[:300],
            evidence=dict(evidence or {}),
            owner=choose_owner(account),
        )
    )


def settle_by_status(refund: Refund) -> None:
    """Close what the new status of a locked refund has answered: its cases, and an open ruling."""
    if refund.status not in _UNPROVEN:
        _close_ruling(refund)
    kinds = _SETTLED_BY.get(Status(refund.status))
    if kinds and refund.attention_reason is not None:
        close_cases(refund, kinds, refund.get_status_display())


def close_cases(
    refund: Refund,
    kinds: Collection[AttentionKind],
    outcome: str,
    by: User | None = None,
    *,
    is_typed: bool = False,
) -> int:
    """Close the open cases of a locked refund that are of these kinds; how many.

    What somebody typed stays on the case: an event can never be taken back.
    """
    closed = Attention.objects.filter(refund=refund, kind__in=kinds).close(outcome, by)
    if closed:
        repeat_oldest(refund)
        told = {} if is_typed else {"reason": outcome}
        record_event(refund, "attention_closed", actor=by, data=told)
        if K.MISSING in kinds and refund.status not in _UNPROVEN:
            _close_ruling(refund)  # that it was not made after all can be said with the case only
    return closed


def repeat_oldest(refund: Refund) -> None:
    """Say on a locked refund what its oldest open case says."""
    oldest = Attention.objects.open().filter(refund=refund).order_by(
        "raised_at", "pk"
    ).values_list("reason", "raised_at").first()  # fmt: skip
    refund.attention_reason, refund.attention_since = oldest or (None, None)
    refund.save(update_fields=["attention_reason", "attention_since"])


def _close_ruling(refund: Refund) -> None:
    """What was proven needs no second person any more."""
    if Ruling.objects.open().filter(refund=refund).update(decided_at=Now()):
        record_event(refund, "ruling_superseded", data={"why": refund.get_status_display()})


def choose_owner(about: Refund | ProcessorAccount) -> User | None:
    """Who asked for the refund, while they may; else who may approve and has the fewest open cases.

    None only where nobody may approve refunds of the account.
    """
    return Owners().choose(about)


class Owners:
    """Owners for the new cases of one pass: rights and open cases are read once for an account."""

    def __init__(self) -> None:
        self._able: dict[tuple[int, int], bool] = {}
        self._approvers: dict[int, list[tuple[int, int, User]]] = {}

    def choose(self, about: Refund | ProcessorAccount) -> User | None:
        """See :func:`choose_owner`."""
        requester = about.requested_by if isinstance(about, Refund) else None
        if requester and self._may(requester, about):
            return requester
        account_id = account_of(about)
        if account_id not in self._approvers:
            self._approvers[account_id] = self._read(about)
        able = self._approvers[account_id]
        if not able:
            return None
        open_cases, number, approver = able[0]
        heapreplace(able, (open_cases + 1, number, approver))
        return approver

    def _may(self, person: User, about: Model) -> bool:
        key = (person.pk, account_of(about))
        if key not in self._able:
            may = person.has_perm("refunds.request_refund", about)
            self._able[key] = person.is_active and may
        return self._able[key]

    def _read(self, about: Model) -> list[tuple[int, int, User]]:
        """A heap of who may approve there, by the number of their open cases."""
        able = get_user_model().objects.with_perm("refunds.approve_refund", obj=about)
        # The condition stands in the join, or it would read all the cases there ever were.
        is_open = Q(attention_cases__closed_at__isnull=True)
        able = able.alias(own=FilteredRelation("attention_cases", condition=is_open))
        counted = able.annotate(open_cases=Count("own")).order_by("open_cases", "pk")
        return [(each.open_cases, each.pk, each) for each in counted]


def _case_of(
    refund: Refund,
    kind: AttentionKind,
    reason: str,
    owner: User | None,
    evidence: Mapping[str, Any] | None = None,
) -> Attention:
    return Attention(
        kind=kind,
        subject=f"refund:{refund.pk}",
        account_id=refund.account_id,
        transaction_id=refund.transaction_id,
        refund=refund,
        reason=reason[:300],
        evidence=dict(evidence or {}),
        owner=owner,
    )


def _insert(case: Attention) -> bool:
    """Insert a case unless one of its kind is open; the database decides between two workers."""
    before = Attention.objects.open().filter(kind=case.kind, subject=case.subject)
    if before.exists():
        return False
    Attention.objects.bulk_create([case], ignore_conflicts=True)
    return True
