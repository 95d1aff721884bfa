"""What happened to the refunds of a payment, line by line, and what processors notified us of."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.db.models import Q
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from transactions.retelling import retell
from transactions.timeline import Line, name_of

from .models import Refund, RefundAttempt, RefundEvent, WebhookEvent
from .rules import told_reasons
from .states import Status

if TYPE_CHECKING:
    from transactions.models import Transaction

_L = gettext_lazy
# The newest webhooks about one payment that its timeline tells of.
_WEBHOOKS = 20
# The end that a processor explained.
_SAID_NO = (Status.FAILED, Status.RETURNED)

EVENTS: dict[str, tuple[str | Promise, str]] = {
    "requested": (_L("Requested"), "busy"),
    "approved": (_L("Approved"), "good"),
    "rejected": (_L("Rejected"), "bad"),
    "canceled": (_L("Canceled before it was sent"), "quiet"),
    "hurried": (_L("Told to go out now"), "busy"),
    "waits_for_settlement": (_L("Waits until the payment has settled"), "busy"),
    "looks_up_first": (_L("Waits: the processor is asked first what it knows of it"), "busy"),
    "waits_for_a_person": (_L("Waits for a person"), "warn"),
    "waits_until_counted": (_L("Waits until what went back is counted"), "warn"),
    "let_go": (_L("What is listed is another refund: this one goes out"), "busy"),
    "account_paused": (_L("Waits: nothing is sent through its account"), "warn"),
    "approval_needed": (_L("Waits for another person: the rules have changed"), "warn"),
    "approvers_told": (_L("Those who may approve it were told by e-mail"), "quiet"),
    "expired": (_L("Called off: nobody approved it"), "bad"),
    "authority_lost": (_L("Not sent: who asked may no longer refund"), "bad"),
    "claimed": (_L("Taken up by a worker"), "busy"),
    "sent_again": (_L("Sent once more, under the same reference"), "busy"),
    "accepted": (_L("Accepted by the processor, not final yet"), "busy"),
    "succeeded": (_L("Succeeded"), "good"),
    "refused": (_L("Refused by the processor"), "bad"),
    "not_sent": (_L("Not sent: nothing happened at the processor"), "warn"),
    "no_clear_answer": (_L("No clear answer: the outcome is unknown until proven"), "warn"),
    "lease_expired": (_L("The worker was lost: the outcome is unknown until proven"), "warn"),
    "check_asked": (_L("Asked to check now"), "busy"),
    "needs_attention": (_L("Put before a person"), "warn"),
    "attention_closed": (_L("The case is closed"), "quiet"),
    "case_given": (_L("The case has a new owner"), "quiet"),
    "ruling_proposed": (_L("An outcome is proposed, and waits for a second person"), "warn"),
    "ruling_rejected": (_L("The proposed outcome is rejected"), "quiet"),
    "ruling_unchecked": (_L("The processor left open what the named refund is"), "warn"),
    "ruling_withdrawn": (_L("The proposed outcome is withdrawn"), "quiet"),
    "ruling_superseded": (_L("Proof came before the second person did"), "quiet"),
    "made_before": (_L("Not sent: an earlier attempt had made it"), "warn"),
    "made_after_all": (_L("Made after all: it counts as a refund made outside"), "warn"),
    "ruled_happened": (_L("Two people: it was made"), "good"),
    "ruled_did_not": (_L("Two people: it was not made"), "bad"),
    "ruled_send_again": (_L("Two people: it was not made, and is sent again"), "busy"),
    "recorded_outside": (_L("Found at the processor: made outside Refund Desk"), "quiet"),
    "returned": (_L("The money came back"), "bad"),
    "came_back": (_L("What it was called off for has failed since"), "warn"),
}


def event_line(refund: Refund, event: RefundEvent) -> Line:
    """What happened to the refund, with the processor's words where it said no."""
    text, tone = EVENTS.get(event.kind, (event.kind.replace("_", " ").capitalize(), "quiet"))
    actor = name_of(event.actor) if event.actor else _("Refund Desk")
    return Line(event.at, str(text), _said(refund, event), actor, tone, refund.amount)


def _said(refund: Refund, event: RefundEvent) -> str:
    """Why it happened. Each of several reasons is a line: joined they are no sentence of ours."""
    if reasons := told_reasons(event.data):
        return "\n".join(map(retell, reasons))
    if said := event.data.get("reason") or event.data.get("plan"):
        return retell(str(said))
    if typed := _typed(refund, event):
        return typed
    is_end = event.to_status == refund.status and event.to_status in _SAID_NO
    return retell(refund.failure_message) if is_end else ""


def _typed(refund: Refund, event: RefundEvent) -> str:
    """What a person wrote with it, which stands on the rows that can be erased."""
    if event.kind == "rejected":
        return refund.rejected_why
    if event.kind == "ruling_proposed":
        key = event.data.get("ruling")
        return next((each.evidence[:300] for each in refund.rulings.all() if each.pk == key), "")
    return ""


def webhook_lines(payment: Transaction, refunds: Collection[Refund]) -> list[Line]:
    """The newest webhooks that name the payment or one of its refunds."""
    ids = [payment.external_id, *payment.related_ids.split()]
    made = [refund.processor_refund_id for refund in refunds if refund.processor_refund_id]
    references = RefundAttempt.objects.filter(refund__in=refunds).values("reference")
    named = Q(payment_id__in=ids) | Q(refund_id__in=made) | Q(reference__in=references)
    found = WebhookEvent.objects.filter(named, account=payment.account_id, event_id__isnull=False)
    return [_webhook_line(payment, event) for event in found.order_by("-received_at")[:_WEBHOOKS]]


def _webhook_line(payment: Transaction, event: WebhookEvent) -> Line:
    state = event.get_state_display()
    return Line(
        event.received_at,
        _("Webhook %s") % event.event_type,
        f"{state}: {retell(event.problem)}" if event.problem else state,
        payment.get_processor_display(),
        url=reverse("admin:refunds_webhookevent_change", args=[event.pk]),
    )
