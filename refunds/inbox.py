"""The attention inbox: the cases that need a person, oldest first, each with a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from access import step_up
from access.returning import follow
from gateways.errors import GatewayError
from transactions.badges import Badge
from transactions.changelist import FlagFilter, KeysetChangeList, ListFilter
from transactions.list_filters import AccountFilter
from transactions.readonly import OfPaymentAdmin, signed_in
from transactions.retelling import retell
from transactions.timeline import Line, newest_first

from . import story
from .badges import case_badge
from .cases import (
    Action,
    is_paid_twice,
    like_ours,
    may,
    may_own,
    why_forbidden,
    why_not_accepted,
)
from .forms import CaseForm
from .models import Attention, AttentionKind, Refund, Ruling
from .refusals import code_of, record_invalid, record_refusal
from .rulings import InvalidRuling
from .services import NotAllowed, WrongStatus
from .states import Status
from .steps import STEPS, Offer, Step, effect_of, label_of, offers, open_ruling, why_gone
from .webhooks import NotProcessable


class KindFilter(ListFilter):
    title = gettext_lazy("Kind")
    parameter_name = "kind"
    offered = AttentionKind


class OwnerFilter(ListFilter):
    title = gettext_lazy("Owner")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[Any, Any]]:
        self.me = signed_in(request)
        return [("me", _("Me")), ("nobody", _("Nobody"))]

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(owner=self.me if value == "me" else None)


class SettledFilter(FlagFilter):
    """Without it the list shows what is open."""

    title = gettext_lazy("Settled ones")
    parameter_name = "settled"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.chosen():
            return queryset.filter(closed_at__isnull=True)
        return super().queryset(request, queryset)

    def only(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(closed_at__isnull=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    case: Attention
    kind: Badge
    next_step: str | Promise


class CaseChangeList(KeysetChangeList):
    """Open cases begin with the one that has waited longest, settled ones with the last."""

    moment = "raised_at"
    oldest_first = True

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        if request.GET.get(SettledFilter.parameter_name):
            self.moment, self.oldest_first = "closed_at", False
        return super().get_ordering(request, queryset)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        refunds = [case.refund_id for case in self.result_list]
        open_rulings = Ruling.objects.open().filter(refund__in=refunds)
        ruled = set(open_rulings.values_list("refund_id", flat=True))
        self.rows = [
            Row(case, case_badge(case), _next_step(case, is_ruled=case.refund_id in ruled))
            for case in self.result_list
        ]


class AttentionAdmin(OfPaymentAdmin):
    """Cases are closed by facts and by actions, never edited."""

    list_select_related = ("account", "transaction", "refund", "owner", "webhook")
    list_filter: ClassVar[tuple[type[ListFilter], ...]] = (
        KindFilter, AccountFilter, OwnerFilter, SettledFilter,
    )  # fmt: skip
    list_class = CaseChangeList
    list_title = gettext_lazy("Needs attention")
    results_template = "refunds/_cases.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.step_view)
        steps = [
            path(f"<int:case_id>/{name}/", view, {"action": name}, name=f"refunds_attention_{name}")
            for name in STEPS
        ]
        return [*steps, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.refuse_writing(request)
        case = self.get_visible(request, object_id)
        context = self.describe(request, case)
        if request.GET.get("fragment") == "case":
            return render(request, "refunds/_case.html", context)
        return self.render(request, "admin/refunds/attention/change_form.html", case, **context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Attention | None:
        people = ("owner", "closed_by", "account", "webhook")
        try:
            case = Attention.objects.select_related(*people).get(pk=object_id)
        except (Attention.DoesNotExist, ValueError, OverflowError):
            return None
        payment = ("transaction", "account")
        if case.refund_id:
            refunds = story.load(Refund.objects.filter(pk=case.refund_id))
            case.refund = refunds.select_related(*payment).get()
            case.transaction = case.refund.transaction
        return case

    def describe(self, request: HttpRequest, case: Attention) -> dict[str, Any]:
        """The context of a case's page."""
        user = signed_in(request)
        told = story.tell([case.refund] if case.refund else [], user)
        ruling = told[0].ruling if told else None
        offered = offers(case, user)
        return {
            "case": case,
            "kind": case_badge(case),
            "title": case.kind_label,
            "told": _without_check(told[0]) if told else None,
            "refund": case.refund,
            "transaction": case.transaction,
            "related_ids": case.transaction.related_ids.split() if case.transaction else [],
            "timeline": _without_answers(told),
            "ruling": ruling,
            "effect": effect_of(ruling) if ruling else "",
            "offers": offered,
            "nothing_to_do": _nothing_to_do(case, user, offered),
            "may_mend": _is_paused(case) and may(Action.CHECK_ACCOUNT, case, user),
            "ours": like_ours(case),
            "is_paid_twice": is_paid_twice(case),
            "closes_by_itself": "" if case.closed_at else why_not_accepted(case),
            "evidence": [(_name(name), _value(value)) for name, value in case.evidence.items()],
            "poll_after": story.poll_after([case.refund] if case.refund else []),
        }

    def step_view(self, request: HttpRequest, case_id: int, action: Action) -> HttpResponse:
        """Show the form of a step, or do it. The service checks the right and the state."""
        case = self.get_visible(request, str(case_id))
        step = STEPS[action]
        is_post = request.method == "POST"
        if not is_post and not step.form:
            return redirect("admin:refunds_attention_change", case.pk)
        if is_post and step.needs_proof(case) and (question := step_up.ask(request)):
            return question
        form = (step.form or CaseForm)(case, request.POST if is_post else None)
        is_filled_in = form.is_valid()
        if is_filled_in:
            try:
                said = step.take(case, signed_in(request), form.cleaned_data)
            except NotAllowed as refusal:
                raise PermissionDenied(str(refusal)) from refusal
            except InvalidRuling as refusal:
                _tell(case, step, request, refusal)
                form.add_error(refusal.field, str(refusal))
            except (WrongStatus, NotProcessable, GatewayError) as refusal:
                _tell(case, step, request, refusal)
                if not step.form:
                    return _leave(request, case, step, str(refusal), messages.ERROR)
                form.add_error(None, str(refusal))
            else:
                return _leave(request, case, step, said)
        answer = self.ask(request, case, step, form)
        if is_post and not is_filled_in:
            record_invalid(step.name, case, form, actor=request.user)
        return answer

    def ask(
        self, request: HttpRequest, case: Attention, step: Step, form: CaseForm
    ) -> HttpResponse:
        """The form of a step: a fragment for the dialog, or a page. Only for who has the right."""
        if not may(step.name, case, signed_in(request)):
            raise PermissionDenied(why_forbidden(step.name))
        offer = next((one for one in offers(case, signed_in(request)) if one.step is step), None)
        ruling = open_ruling(case)
        context = {
            "case": case,
            "refund": case.refund,
            "transaction": case.transaction,
            "step": step,
            "ours": like_ours(case),
            "is_paid_twice": is_paid_twice(case),
            "form": form.renewed(),
            "is_offered": offer is not None,
            "why_not": offer.why_not if offer else why_gone(case, step, signed_in(request)),
            "label": label_of(step, ruling, signed_in(request)),
            "ruling": ruling,
            "effect": effect_of(ruling) if ruling else "",
        }
        return self.render_dialog(request, "refunds/_step.html", case, **context)


def _tell(case: Attention, step: Step, request: HttpRequest, refusal: Exception) -> None:
    """Have the audit log say that a step was refused, unless by a processor."""
    if code := code_of(refusal):
        record_refusal(step.name, case, actor=request.user, code=code, why=str(refusal))


def _without_check(told: story.Told) -> story.Told:
    """A case has its own button that asks the processor."""
    check = story.BUTTONS["check"].of(told.refund)
    return replace(told, remedies=[each for each in told.remedies if each != check])


def _without_answers(told: Sequence[story.Told]) -> list[Line]:
    """The history without the words of the processor that stand at the attempts."""
    answers = {attempt.processor_message for one in told for attempt, _badge in one.attempts}
    answers |= {one.refund.failure_message for one in told}
    shown = {retell(answer) for answer in answers}
    lines = newest_first(line for one in told for line in one.lines)
    return [replace(line, why="") if line.why in shown else line for line in lines]


def _is_paused(case: Attention) -> bool:
    """Whether rejected credentials are why the account of a case is stopped."""
    return case.kind == AttentionKind.ACCOUNT_PAUSED and not case.is_hold


def _nothing_to_do(case: Attention, user: User, offered: Sequence[Offer]) -> str:
    """What a person reads where nothing helps the case on but giving it to somebody else."""
    names = {offer.step.name for offer in offered}
    if names - {Action.TAKE, Action.HAND_OVER, Action.CANCEL}:
        return ""
    waits = case.refund and case.refund.status == Status.QUEUED and case.account.stopped_reason
    if waits and Action.CANCEL in names:
        return ""
    if case.is_hold or waits:
        return _("There is nothing to decide here.")
    if _is_paused(case):
        return _("Ask an administrator to enter working credentials.")
    if not may_own(case, user):
        return _("You may look at this case, and not change it.")
    awaits = case.refund and case.refund.status == Status.AWAITING_APPROVAL
    if user.has_perm("refunds.approve_refund", case) and not awaits:
        return _("Hand it over to somebody who may request refunds.")
    if Action.HAND_OVER in names:
        return _("Hand it over to somebody who may approve refunds.")
    return _("Somebody who may approve refunds has to see to it.")


def _leave(
    request: HttpRequest, case: Attention, step: Step, said: str, level: int = messages.SUCCESS
) -> HttpResponse:
    """Say what happened on the page that comes next."""
    messages.add_message(request, level, said)
    if step.stays or level == messages.ERROR:
        address = reverse("admin:refunds_attention_change", args=[case.pk])
    else:
        address = reverse("admin:refunds_attention_changelist")
    return follow(request, address)


K = AttentionKind
_NEXT_STEPS: dict[str, str | Promise] = {
    K.UNKNOWN_OUTCOME: gettext_lazy("Ask the processor, or say what happened."),
    K.PENDING_LONG: gettext_lazy("Ask the processor, at its website too."),
    K.NOT_APPROVED: gettext_lazy("Somebody else than who asked for it approves or rejects it."),
    K.FOUND_SEVERAL: gettext_lazy("Look at the processor, then accept."),
    K.AMOUNT_DIFFERS: gettext_lazy("Compare the amounts at the processor, then accept."),
    K.OVER_REFUNDED: gettext_lazy("Find out why, then accept."),
    K.MADE_OUTSIDE: gettext_lazy("Find out who made it, then accept."),
    K.RETURNED: gettext_lazy("Pay the customer again or another way, then accept."),
    K.PAID_AFTER_ALL: gettext_lazy("Make sure that nobody paid it again, then accept."),
    K.MISSING: gettext_lazy("Look for it at the processor, then accept."),
    K.UNPLACED: gettext_lazy("Find its payment at the processor, then accept."),
    K.DISPUTED: gettext_lazy("Accept when it is answered."),
    K.NOT_SENT: gettext_lazy("Look why, request it again if it is still owed, then accept."),
    K.STUCK: gettext_lazy("Find out why in the workers' logs, then try it again."),
    K.ACCOUNT_PAUSED: gettext_lazy("An administrator enters working credentials."),
    K.WEBHOOK_FAILED: gettext_lazy("Look at its reason, then have it processed again."),
}


def _next_step(case: Attention, *, is_ruled: bool) -> str | Promise:
    """What comes next, in a few words, whoever does it; '' for a settled case."""
    if case.closed_at:
        return ""
    if is_ruled:
        return _("A second person confirms or rejects what is proposed.")
    if case.is_hold:
        return _("Wait until it has been compared, or run manage.py recover.")
    if case.kind == K.NOT_SENT and case.refund and case.refund.status == Status.QUEUED:
        return _("Read what it waits for, and cancel it if it is not owed.")
    if case.kind == K.MADE_OUTSIDE and "may_be" in case.evidence:
        return _("Say whether it is ours, or accept it as another refund.")
    return _NEXT_STEPS[case.kind]


# What cases bring as evidence, in words; other names are shown as they are.
_NAMES: dict[str, str | Promise] = {
    "amount": gettext_lazy("Amount"),
    "candidates": gettext_lazy("Payments that fit"),
    "card": gettext_lazy("Card"),
    "email": gettext_lazy("E-mail"),
    "listed": gettext_lazy("Listed by the processor"),
    "made_at": gettext_lazy("Made at"),
    "may_be": gettext_lazy("Our refund that it may be"),
    "paid_besides": gettext_lazy("As much went back besides"),
    "payer": gettext_lazy("Payer"),
    "payment": gettext_lazy("Payment"),
    "reference": gettext_lazy("Reference"),
    "refund": gettext_lazy("Refund"),
}


def _name(name: str) -> str:
    return str(_NAMES.get(name, name.replace("_", " ").capitalize()))


def _value(value: Any) -> str:
    """A value of the evidence as people read it."""
    if isinstance(value, list):
        return "; ".join(map(_value, value))
    if isinstance(value, dict):
        return ", ".join(f"{_name(name)}: {_value(each)}" for name, each in value.items())
    try:
        at = datetime.fromisoformat(value)
        told = formats.date_format(timezone.localtime(at), "j M Y, H:i T") if at.tzinfo else value
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return str(told)
