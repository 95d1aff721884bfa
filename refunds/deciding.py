"""The queue of approvals, and what an approver is shown, decides and is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from transactions.readonly import changed
from transactions.retelling import retell

from . import services
from .approvals import (
    APPROVE,
    BeyondLimit,
    approve_refund,
    may_decide,
    reject_refund,
    shown,
    to_approve,
)
from .forms import SeenForm
from .models import Refund
from .people import is_requester
from .refusals import code_of, record_refusal
from .rules import Approver, told_reasons
from .services import NotAllowed, WrongStatus
from .states import Status

if TYPE_CHECKING:
    from django.db.models import QuerySet

# So many are decided about on one page, the oldest first; what follows moves up.
_AT_ONCE = 25
QUEUE = "refunds_refund_approvals"
DECISIONS = ("approve", "reject")


@dataclass(frozen=True, slots=True)
class Decision:
    """What waits for somebody to decide. ``reasons`` say why; ``may`` whether this person can.

    ``may_not`` is the sentence why the person may not approve it, though they may reject it.
    """

    refund: Refund
    reasons: list[str]
    expires_at: datetime
    seen: str
    may: bool
    may_not: str | None


class DecisionForm(SeenForm):
    """``seen`` is what the page was drawn from; ``why`` is told to who asked."""

    why = forms.CharField(required=False, max_length=500)


def decision_of(refund: Refund, user: User, approver: Approver | None = None) -> Decision | None:
    """What there is to decide about a refund, with its events loaded; None when nothing is."""
    if refund.status != Status.AWAITING_APPROVAL:
        return None
    asked = [each for each in refund.events.all() if each.to_status == refund.status][-1]
    may = may_decide(refund, user)
    return Decision(
        refund,
        [retell(sentence) for sentence in told_reasons(asked.data)],
        asked.at + timedelta(days=settings.APPROVAL_EXPIRES_DAYS),
        shown(refund),
        may,
        _why_not(refund, approver or Approver(user), may),
    )


def _why_not(refund: Refund, approver: Approver, may: bool) -> str | None:
    if may:
        return approver.why_not(refund) or None
    if is_requester(refund, approver.person):
        return _("Another person has to approve a refund that you requested.")
    return _("You may not approve refunds of this account.")


def queue(refunds: QuerySet[Refund], user: User) -> dict[str, Any]:
    """The context of the queue: what waits for this person, and what they wait for themselves."""
    waiting = refunds.filter(status=Status.AWAITING_APPROVAL).order_by("created_at", "pk")
    theirs = list(to_approve(user, waiting)[: _AT_ONCE + 1])
    own = list(waiting.filter(requested_by=user)[:_AT_ONCE])
    approver = Approver(user, theirs)  # for all of them
    return {
        "decisions": [decision_of(refund, user, approver) for refund in theirs[:_AT_ONCE]],
        "has_more": len(theirs) > _AT_ONCE,
        "own": [decision_of(refund, user, approver) for refund in own],
    }


def decide(request: HttpRequest, refund: Refund, user: User, action: str) -> HttpResponse:
    """Approve or reject what the person saw, and lead back to where they were."""
    try:
        services.require(user, APPROVE, _("You may not approve refunds of this account."), refund)
        sentence = _take(refund, user, action, DecisionForm(request.POST))
    except forms.ValidationError as error:
        code, why = "invalid", error.messages[0]
    except (WrongStatus, BeyondLimit) as refusal:
        code, why = code_of(refusal), str(refusal)
    except NotAllowed as refusal:
        raise PermissionDenied(str(refusal)) from refusal
    else:
        return _answer(request, refund, sentence)
    record_refusal(action, refund, actor=user, code=code, why=why)
    return _answer(request, refund, why, messages.ERROR)


def _take(refund: Refund, user: User, action: str, form: DecisionForm) -> str:
    """Take the decision; what happened, in a sentence. Raises ValidationError for a bad form."""
    if not form.is_valid():
        raise forms.ValidationError([text for texts in form.errors.values() for text in texts])
    if action == "reject":
        reject_refund(refund, actor=user, why=form.cleaned_data["why"])
        return _("Rejected; nothing was refunded.")
    approved = approve_refund(refund, actor=user, seen=form.cleaned_data["seen"])
    said = _("It is approved.")
    return f"{said} {services.waits_for(approved.account)}".strip()


def _answer(
    request: HttpRequest, refund: Refund, sentence: str, level: int = messages.SUCCESS
) -> HttpResponse:
    if "from_queue" in request.POST:
        messages.add_message(request, level, retell(sentence))
        return redirect(f"admin:{QUEUE}")
    return changed(request, refund.transaction, sentence, level)
