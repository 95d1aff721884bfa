"""The refund dialog and its answers: fragments for htmx, whole pages without it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from access import step_up
from gateways.money import Money
from transactions.amounts import localize
from transactions.models import Transaction
from transactions.readonly import changed

from . import decision, services
from .costs import arrival_in_words, cost_in_words
from .forms import RefundForm, read_amount
from .models import Refund, RefundReason
from .refusals import record_invalid
from .rules import is_beyond_own_word, reasons_for
from .states import Status

# The element of the dialog that shows what a typed amount would come to.
PREVIEW = "refund-preview"
Show = Callable[..., HttpResponse]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a refund of the typed amount would come to; ``problem`` instead where it cannot be."""

    left: Money | None = None
    sentence: str = ""
    costs: str = ""
    arrives: str = ""
    approval: tuple[str, ...] = ()
    problem: str = ""


def refund_dialog(
    request: HttpRequest, transaction: Transaction, user: User, show: Show
) -> HttpResponse:
    """Show the dialog, or ask for the refund that was filled in.

    ``show`` renders a form as a dialog, or as a page for a browser without htmx.
    """
    if request.headers.get("HX-Target") == PREVIEW:
        preview = preview_of(transaction, request.GET.get("amount", ""), user)
        return render(request, "refunds/_preview.html", {"preview": preview})
    offered = RefundReason.objects.filter(is_active=True)
    asked_for = offered.filter(code=request.GET.get("reason", "")[:50]).first()
    form = RefundForm(
        transaction,
        request.POST if request.method == "POST" else None,
        initial={"reason": asked_for or offered.first()},
    )
    is_asked = form.is_bound and form.is_valid()
    if (
        is_asked
        and (question := step_up.ask(request))  # first: it asks no row
        and is_beyond_own_word(transaction, form.cleaned_data["amount"], user)
    ):
        return question
    if is_asked and (refund := _request(form, user)):
        undo = reverse("admin:refunds_refund_cancel", args=[refund.pk])
        waits = settings.UNDO_SECONDS if refund.status == Status.QUEUED else 0
        sentence = _said(refund)
        return changed(request, transaction, sentence, undo=undo if waits else "")
    if form.is_bound:
        _tell(form, user)
    left = localize(transaction.refundable.major())
    typed = form["amount"].value() if form.is_bound else left
    context = {
        "transaction": transaction,
        "form": form,
        "typed": typed,
        "token": _token(request),
        "why_not": services.why_not(transaction),
        "preview": preview_of(transaction, typed or "", user),
    }
    return show(request, "refunds/_dialog.html", transaction, **context)


def preview_of(transaction: Transaction, text: str, user: User) -> Preview:
    """What is left after a refund of the typed amount, and how it will be done."""
    if why_not := services.why_not(transaction):
        return Preview(problem=why_not)
    try:
        amount = read_amount(text, transaction)
    except ValidationError as error:
        return Preview(problem=" ".join(error.messages))
    left = transaction.refundable
    if amount.minor > left.minor:
        return Preview(problem=_("That is more than the %s that can still be refunded.") % left)
    if blocked := decision.check_step(transaction, amount):
        return Preview(problem=blocked.sentence)
    asks = reasons_for(transaction, amount, user)
    planned = decision.plan(transaction, amount)
    return Preview(
        left=Money(left.minor - amount.minor, left.currency),
        sentence="" if asks and planned.is_now else services.plan_in_words(transaction, amount),
        costs=cost_in_words(transaction.account, amount, planned.operation),
        arrives=arrival_in_words(transaction.account, planned.operation),
        approval=tuple(each.sentence for each in asks),
    )


def _said(refund: Refund) -> str:
    if refund.status == Status.AWAITING_APPROVAL:
        return _("The refund of %s waits for another person to approve it.") % refund.amount
    if waits := services.waits_for(refund.account):
        sentence = _("The refund of %(amount)s is queued. %(waits)s")
        return sentence % {"amount": refund.amount, "waits": waits}
    return _("The refund of %s is on its way.") % refund.amount


def _request(form: RefundForm, user: User) -> Refund | None:
    """Ask for the refund of a valid form; None when it was refused and the form says why."""
    values = form.cleaned_data
    try:
        refund, _created = services.request_refund(
            transaction=form.transaction,
            amount=values["amount"],
            reason=values["reason"],
            note=values["note"],
            words=values["words"],
            requested_by=user,
            idempotency_key=str(values["token"]),
            expected_refundable=values["expected_refundable"],
        )
    except services.RefundRefused as refusal:
        form.refuse(refusal.code, str(refusal))
        form.transaction.refresh_from_db()
        return None
    except services.RequestConflict:
        form.refuse(
            "conflict",
            _("A refund was already requested from this form. Close it and look at the payment."),
        )
        return None
    return refund


def _tell(form: RefundForm, user: User) -> None:
    """Have the audit log say that the form was refused, and what was typed as the amount."""
    typed = form.data.get("amount", "")
    record_invalid("refund", form.transaction, form, actor=user, amount=typed)


def _token(request: HttpRequest) -> str:
    """The key of this dialog: made when it opens, kept while its form comes back with errors."""
    try:
        return str(uuid.UUID(request.POST.get("token", "")))
    except ValueError:
        return str(uuid.uuid4())
