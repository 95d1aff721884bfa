"""Tells approvers by e-mail what waits for them: one message for all that came together."""

from __future__ import annotations

import smtplib
from collections import defaultdict
from collections.abc import Sequence

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage, get_connection
from django.db import transaction as database
from django.db.models import OuterRef, QuerySet, Subquery
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import ngettext

from transactions.retelling import retell

from .approvals import APPROVE
from .history import record_event
from .models import Refund, RefundEvent
from .people import is_requester
from .rules import Approver, told_reasons
from .states import Status

log = structlog.get_logger(__name__)

# So many are told of in one message and one pass.
_AT_ONCE = 50
_TOLD = "approvers_told"


def tell_approvers() -> int:
    """Send what nobody was told of to whom it waits for; how many refunds that were.

    A worker that dies in between sends it twice: better than never.
    """
    refunds = list(_untold()[:_AT_ONCE])
    theirs = _for_each(refunds)
    try:
        _send([_mail(person, waiting) for person, waiting in theirs.items()])
    except (OSError, smtplib.SMTPException) as error:
        log.warning("approvers_not_told", refunds=len(refunds), error=type(error).__name__)
        return 0
    for refund in refunds:
        told = sum(refund in waiting for waiting in theirs.values())
        with database.atomic():
            record_event(refund, _TOLD, data={"people": told})
    return len(refunds)


def _send(mails: Sequence[EmailMessage]) -> None:
    """Raises OSError or SMTPException where the server is at fault, and not one address."""
    if not mails:
        return
    with get_connection() as connection:
        for mail in mails:
            try:
                connection.send_messages([mail])
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError):
                log.warning("approver_not_told")  # the others are


def _untold() -> QuerySet[Refund]:
    """What has begun to await approval since anybody was last told of it."""
    turns = RefundEvent.objects.filter(
        refund=OuterRef("pk"), kind__in=["requested", "approval_needed", _TOLD]
    )
    last = Subquery(turns.order_by("-sequence").values("kind")[:1])
    waiting = Refund.objects.filter(status=Status.AWAITING_APPROVAL).annotate(last=last)
    related = ("account", "transaction", "requested_by")
    return waiting.exclude(last=_TOLD).select_related(*related).order_by("created_at", "pk")


def _for_each(refunds: Sequence[Refund]) -> dict[User, list[Refund]]:
    """What waits for each person who has an address and may approve it."""
    found: dict[User, list[Refund]] = defaultdict(list)
    able: dict[int, list[Approver]] = {}
    for refund in refunds:
        if refund.account_id not in able:
            people = User.objects.with_perm(APPROVE, obj=refund.account).exclude(email="")
            able[refund.account_id] = [
                Approver(person, refunds) for person in people.select_related("profile")
            ]
        for each in able[refund.account_id]:
            if not (each.why_not(refund) or is_requester(refund, each.person)):
                found[each.person].append(refund)
    return found


def _mail(person: User, refunds: list[Refund]) -> EmailMessage:
    profile = getattr(person, "profile", None)
    with translation.override((profile and profile.language) or settings.LANGUAGE_CODE):
        subject = ngettext(
            "A refund waits for your approval",
            "%(number)s refunds wait for your approval",
            len(refunds),
        )
        context = {
            "refunds": [(refund, _reasons(refund)) for refund in refunds],
            "address": f"{settings.SITE_URL}{reverse('admin:refunds_refund_approvals')}",
        }
        body = render_to_string("refunds/approval_mail.txt", context)
    return EmailMessage(subject % {"number": len(refunds)}, body, to=[person.email])


def _reasons(refund: Refund) -> list[str]:
    asked = refund.events.filter(to_status=Status.AWAITING_APPROVAL).last()
    return [retell(sentence) for sentence in told_reasons(asked.data)] if asked else []
