"""What is decided about refunds that await approval: approve, reject, or let them expire."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction as database
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from access.rights import within

from .models import Refund
from .people import is_requester, of_person
from .publishing import publish_after_commit
from .rules import Approver
from .services import NotAllowed, WrongStatus, call_off, require
from .states import Status
from .sweeps import one_pass, unapproved_since
from .transitions import lock_refund, move

if TYPE_CHECKING:
    from django.contrib.auth.models import User

APPROVE = "refunds.approve_refund"


_CHANGED = gettext_lazy(
    "The refund or its payment has changed since you looked. Look again, then decide."
)


class BeyondLimit(NotAllowed):
    """The person may approve, but not so much."""


def to_approve(user: User, refunds: QuerySet[Refund] | None = None) -> QuerySet[Refund]:
    """The refunds that wait for this person's approval."""
    waiting = Refund.objects.all() if refunds is None else refunds
    theirs = within(waiting.filter(status=Status.AWAITING_APPROVAL), user, APPROVE)
    return theirs.exclude(of_person(user, "requested_by"))


def may_decide(refund: Refund, user: User) -> bool:
    """Whether the person may approve or reject a refund, while it awaits that."""
    awaits = refund.status == Status.AWAITING_APPROVAL
    return awaits and not is_requester(refund, user) and user.has_perm(APPROVE, refund)


def shown(refund: Refund) -> str:
    """A digest of what an approver is shown: when it has changed, they look again first."""
    payment = refund.transaction
    facts = [
        str(refund.pk), refund.transaction_id, refund.account_id, refund.mode,
        refund.amount_minor, refund.currency, refund.requested_by_id, refund.reason_id,
        refund.note, refund.words, payment.customer_id, payment.status, payment.disputed,
        payment.refunded_minor, payment.reserved_minor,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def approve_refund(refund: Refund, *, actor: User, seen: str | None = None) -> Refund:
    """Let a refund that awaits approval go out. The requester never approves.

    ``seen`` is what :func:`shown` said when the person looked at it. Raises NotAllowed, or
    WrongStatus, also where it is no longer what the person saw.
    """
    _require(actor, refund, _("You may not approve refunds of this account."))
    if is_requester(refund, actor):
        raise NotAllowed(_("Another person has to approve a refund that you requested."))
    with database.atomic():
        locked = lock_refund(refund.pk)
        _require_awaiting(locked)
        if sentence := Approver(actor).why_not(locked):
            raise BeyondLimit(sentence)
        if seen is not None and seen != shown(locked):
            raise WrongStatus(str(_CHANGED))
        changes = {"approved_by": actor, "next_action_at": Now()}
        move(locked, Status.QUEUED, "approved", actor=actor, changes=changes)
        publish_after_commit(locked)
    return locked


def reject_refund(refund: Refund, *, actor: User, why: str = "") -> Refund:
    """Refuse a refund that awaits approval; ``why`` is told to who asked for it.

    Raises NotAllowed or WrongStatus.
    """
    _require(actor, refund, _("You may not reject refunds of this account."))
    with database.atomic():
        _require_awaiting(lock_refund(refund.pk))
        return call_off(refund, actor=actor, kind="rejected", rejected_why=why)


def expire_unapproved() -> int:
    """Call off what nobody has approved for ``APPROVAL_EXPIRES_DAYS``; how many."""
    late = unapproved_since(timedelta(days=settings.APPROVAL_EXPIRES_DAYS))
    late = late.order_by("created_at", "pk")
    return sum(_expire(refund) for refund in one_pass(late))


def _expire(refund: Refund) -> bool:
    days = settings.APPROVAL_EXPIRES_DAYS
    sentence = ngettext(
        "Nobody approved it in %s day. Ask for a new refund if it is still owed.",
        "Nobody approved it in %s days. Ask for a new refund if it is still owed.",
        days,
    )
    with database.atomic():
        if lock_refund(refund.pk).status != Status.AWAITING_APPROVAL:  # decided a moment ago
            return False
        call_off(refund, actor=None, kind="expired", why=sentence % days)
    return True


def _require(actor: User, refund: Refund, sentence: str) -> None:
    require(actor, APPROVE, sentence, refund)


def _require_awaiting(locked: Refund) -> None:
    if locked.status != Status.AWAITING_APPROVAL:
        raise WrongStatus(
            _("This refund does not await approval any more: its status is “%s”.")
            % locked.get_status_display()
        )
