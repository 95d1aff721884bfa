"""Refunds on the staff site: asked for in a dialog, told on pages, changed by services only."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction as database
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from access import step_up
from access.rights import may_somewhere, within
from audit.kinds import Kind
from audit.log import changes, record
from transactions.admin import TransactionAdmin
from transactions.badges import Badge, badge_of
from transactions.changelist import (
    FlagFilter,
    FromDateFilter,
    KeysetChangeList,
    ListFilter,
    ToDateFilter,
)
from transactions.customer_pages import CustomerAdmin
from transactions.list_filters import AccountFilter
from transactions.models import Customer, Transaction
from transactions.readonly import PAYMENT_PAGE, OfPaymentAdmin, changed, pressed, signed_in
from transactions.retelling import retell
from transactions.table import Row
from transactions.timeline import newest_first

from . import deciding, erasure, pulling, services, story
from .approval_rules import ApprovalRuleAdmin
from .audit_log import AuditLineAdmin
from .badges import TONES, refund_badge
from .deciding import DECISIONS, QUEUE
from .forms import EraseForm, ReasonForm, ReasonLineForm
from .inbox import AttentionAdmin
from .models import ApprovalRule, Attention, AuditLine, Refund, RefundReason, WebhookEvent
from .refusals import code_of, record_refusal
from .rules import is_beyond_own_word
from .services import NotAllowed, RefundRefused, RequestConflict, WrongStatus
from .states import Origin, Status
from .timeline import webhook_lines
from .views import refund_dialog
from .webhook_log import WebhookEventAdmin

admin.site.unregister([Transaction, Customer])
admin.site.register(ApprovalRule, ApprovalRuleAdmin)
admin.site.register(Attention, AttentionAdmin)
admin.site.register(AuditLine, AuditLineAdmin)
admin.site.register(WebhookEvent, WebhookEventAdmin)

_NAME = "refunds_refund"
_PAGE = f"admin:{_NAME}_change"
# The open cases that a customer's page names.
_CASES = 10


class RefundFailedFilter(FlagFilter):
    is_rare = True
    title = gettext_lazy("Refund failed")
    parameter_name = "refund_failed"

    def only(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        failed = Refund.objects.filter(transaction=OuterRef("pk"), status=Status.FAILED)
        return queryset.filter(Exists(failed))


class NeedsAttentionFilter(FlagFilter):
    is_rare = True
    title = gettext_lazy("Needs attention")
    parameter_name = "needs_attention"

    def only(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        flagged = Refund.objects.filter(transaction=OuterRef("pk"), attention_reason__isnull=False)
        return queryset.filter(Exists(flagged))


@admin.register(Transaction)
class RefundableTransactionAdmin(TransactionAdmin):
    """The transactions, with what went back of them and the dialog that asks for more."""

    list_filter: ClassVar[tuple[type[ListFilter], ...]] = (
        *TransactionAdmin.list_filter,
        RefundFailedFilter,
        NeedsAttentionFilter,
    )

    def get_urls(self) -> list[URLPattern]:
        refund = self.admin_site.admin_view(self.refund_view)
        pull = self.admin_site.admin_view(self.pull_view)
        reread = self.admin_site.admin_view(pressed(self.reread_view, PAYMENT_PAGE))
        return [
            path("pull/", pull, name="transactions_transaction_pull"),
            path("<path:object_id>/reread/", reread, name="transactions_transaction_reread"),
            path("<path:object_id>/refund/", refund, name="transactions_transaction_refund"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"pulling": pulling.describe(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    def build_rows(self, request: HttpRequest, transactions: list[Transaction]) -> list[Row]:
        rows = super().build_rows(request, transactions)
        refunds = Refund.objects.filter(transaction__in=transactions).order_by("created_at", "pk")
        refunds = refunds.select_related("requested_by")  # what waits is not for them to approve
        by_transaction: dict[int, list[Refund]] = {row.transaction.pk: [] for row in rows}
        for refund in refunds:
            by_transaction[refund.transaction_id].append(refund)
        for row in rows:
            _add_refunds(row, by_transaction[row.transaction.pk], signed_in(request))
        return rows

    def describe(self, request: HttpRequest, transaction: Transaction) -> dict[str, Any]:
        user = signed_in(request)
        refunds = story.load(transaction.refunds.order_by("-created_at", "-pk"))
        may_see = user.has_perm("refunds.view_refund", transaction)
        told = story.tell(refunds, user) if may_see else []
        lines = [line for one in told for line in one.lines]
        if user.has_perm("refunds.view_webhookevent", transaction):
            lines += webhook_lines(transaction, [one.refund for one in told])
        unlinked = transaction.cases.filter(refund__isnull=True).order_by("raised_at", "pk")
        context = super().describe(request, transaction)
        return context | {
            "cases": story.tell_cases(unlinked, user),
            "told": told,
            "timeline": newest_first([*context["timeline"], *lines]),
        }

    def refund_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user = signed_in(request)
        transaction = self.get_visible(request, object_id)
        if not story.may_request(transaction, user):
            raise PermissionDenied
        return refund_dialog(request, transaction, user, self.render_dialog)

    def pull_view(self, request: HttpRequest) -> HttpResponse:
        needed = "sync_transaction" if request.method == "POST" else "view_transaction"
        if not may_somewhere(request.user, f"transactions.{needed}"):
            raise PermissionDenied
        return pulling.answer(request)

    def reread_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Have a worker read what is new at the account of a payment."""
        transaction = self.get_visible(request, object_id)
        if not request.user.has_perm("transactions.sync_transaction", transaction):
            raise PermissionDenied
        if problem := pulling.enqueue([transaction.account]):
            return changed(request, transaction, problem, messages.ERROR)
        sentence = _("A worker reads account %s. Load this page again in a moment.")
        return changed(request, transaction, sentence % transaction.account.slug)


@admin.register(Customer)
class RefundedCustomerAdmin(CustomerAdmin):
    """The customers, with what went back to them and what of it needs a person."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.erase_view)
        address = path("<path:object_id>/erase/", view, name="transactions_customer_erase")
        return [address, *super().get_urls()]

    def erase_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say what goes and what stays, and erase the customer."""
        customer = self.get_visible(request, object_id)
        user = signed_in(request)
        if not user.has_perm(erasure.ERASE):
            raise PermissionDenied(_("You may not erase customers."))
        is_post = request.method == "POST"
        if is_post and (question := step_up.ask(request)):
            return question
        form = EraseForm(request.POST if is_post else None)
        if form.is_valid():
            try:
                erasure.erase(customer, actor=user)
            except erasure.NotErased as refusal:
                form.add_error(None, str(refusal))
            else:
                return self.show(request, customer, _("The customer is erased."))
        context = {"customer": customer, "form": form, "why_not": erasure.why_not(customer)}
        return self.render_dialog(request, "refunds/_erase.html", customer, **context)

    def describe(self, request: HttpRequest, customer: Customer) -> dict[str, Any]:
        user = signed_in(request)
        refunds = within(
            Refund.objects.filter(transaction__customer=customer), user, "refunds.view_refund"
        )
        newest = refunds.select_related(*RefundAdmin.list_select_related).defer(
            "transaction__search_text"
        )
        cases = within(
            Attention.objects.open().filter(transaction__customer=customer),
            user, "refunds.view_attention",
        )  # fmt: skip
        shown = newest.order_by("-created_at", "-pk")[: self.list_per_page]
        return super().describe(request, customer) | {
            "refunds": [(refund, refund_badge(refund)) for refund in shown],
            "cases": story.tell_cases(cases.order_by("raised_at", "pk")[:_CASES], user),
            "may_erase": user.has_perm(erasure.ERASE) and not customer.erased_at,
        }


def _add_refunds(row: Row, refunds: list[Refund], user: User) -> None:
    """What the line of a transaction says of its refunds, oldest first, and offers to do."""
    if row.transaction.refundable_minor > 0 and story.may_request(row.transaction, user):
        row.refund_url = reverse("admin:transactions_transaction_refund", args=[row.transaction.pk])
    row.poll_after = story.poll_after_sums(row.transaction, refunds)
    if reasons := [refund.attention_reason for refund in refunds if refund.attention_reason]:
        row.marks.append(Badge(_("Needs attention"), "warn", " ".join(map(retell, reasons))))
    if any(refund.status == Status.AWAITING_APPROVAL for refund in refunds):
        row.marks.append(badge_of(Status.AWAITING_APPROVAL, TONES))
    for refund in refunds:
        if story.may_cancel(refund, user):
            row.undo_url = reverse("admin:refunds_refund_cancel", args=[refund.pk])
    if refunds and refunds[-1].status == Status.FAILED:
        row.marks.append(Badge(_("Refund failed"), "bad", retell(refunds[-1].failure_message)))


class RefundStatusFilter(ListFilter):
    title = gettext_lazy("Status")
    parameter_name = "status"
    offered = Status


class OriginFilter(ListFilter):
    title = gettext_lazy("Started by")
    parameter_name = "origin"
    offered = Origin


class AttentionFilter(FlagFilter):
    title = gettext_lazy("Needs attention")
    parameter_name = "needs_attention"

    def only(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(attention_reason__isnull=False)


class RefundChangeList(KeysetChangeList):
    """The table: each refund with its badge."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.rows = [(refund, refund_badge(refund)) for refund in self.result_list]


@admin.register(Refund)
class RefundAdmin(OfPaymentAdmin):
    """Every refund of every account, whoever started it."""

    list_select_related = ("transaction", "account", "reason", "requested_by")
    list_filter = (
        RefundStatusFilter, OriginFilter, AccountFilter, AttentionFilter,
        FromDateFilter, ToDateFilter,
    )  # fmt: skip
    list_class = RefundChangeList
    list_title = gettext_lazy("Refunds")
    results_template = "refunds/_results.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(pressed(self.act_view, _PAGE))
        actions = [
            path(f"<uuid:object_id>/{name}/", view, {"action": name}, name=f"{_NAME}_{name}")
            for name in story.BUTTONS
        ]
        decide = self.admin_site.admin_view(
            pressed(self.decide_view, "admin:refunds_refund_change")
        )
        actions += [
            path(
                f"<uuid:object_id>/{name}/", decide, {"action": name}, name=f"refunds_refund_{name}"
            )
            for name in DECISIONS
        ]
        queue = path("approvals/", self.admin_site.admin_view(self.queue_view), name=QUEUE)
        return [queue, *actions, *super().get_urls()]

    def queue_view(self, request: HttpRequest) -> HttpResponse:
        """What waits for the person's approval, the oldest first."""
        self.refuse_writing(request)
        if not self.has_view_permission(request):
            raise PermissionDenied
        refunds = story.load(self.get_queryset(request)).select_related("transaction")
        context = deciding.queue(refunds, signed_in(request)) | {
            "title": _("To approve"),
            "opts": None,
        }
        return self.render(request, "admin/refunds/refund/approvals.html", None, **context)

    def decide_view(self, request: HttpRequest, object_id: UUID, action: str) -> HttpResponse:
        """Approve or reject. The service checks the right, the status and what was seen."""
        if action == "approve" and (question := step_up.ask(request)):
            return question
        refunds = story.load(self.get_queryset(request)).select_related("transaction")
        refund = get_object_or_404(refunds, pk=object_id)
        return deciding.decide(request, refund, signed_in(request), action)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.refuse_writing(request)
        refund = self.get_visible(request, object_id)
        [told] = story.tell([refund], signed_in(request))
        context = {
            "told": [told],
            "refund": refund,
            "transaction": refund.transaction,
            "related_ids": refund.transaction.related_ids.split(),
            "timeline": newest_first(told.lines),
            "poll_after": story.poll_after([refund]),
        }
        if request.GET.get("fragment") == "story":
            return render(request, "refunds/_story.html", context)
        return self.render(request, "admin/refunds/refund/change_form.html", refund, **context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Refund | None:
        try:
            number = UUID(object_id)
        except ValueError:
            return None
        return story.load(Refund.objects.filter(pk=number)).select_related("transaction").first()

    def act_view(self, request: HttpRequest, object_id: UUID, action: str) -> HttpResponse:
        """Do what a button says. The service checks the right and the status."""
        refunds = self.get_queryset(request).select_related("transaction", "account")
        refund = get_object_or_404(refunds, pk=object_id)
        button = story.BUTTONS[action]
        if (
            action == "retry"
            and (question := step_up.ask(request))
            and is_beyond_own_word(refund.transaction, refund.amount, signed_in(request))
        ):
            return question
        try:
            result = button.service(refund, actor=signed_in(request))
        except NotAllowed as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        except (WrongStatus, RefundRefused, RequestConflict) as refusal:
            record_refusal(
                action, refund, actor=request.user, code=code_of(refusal), why=str(refusal)
            )
            return changed(request, refund.transaction, str(refusal), messages.ERROR)
        waits = services.waits_for(refund.account) if result.status == Status.QUEUED else ""
        return changed(request, refund.transaction, f"{button.done} {waits}".strip())


@admin.register(RefundReason)
class RefundReasonAdmin(ModelAdmin):
    """The reasons that the dialog offers; used ones are hidden, not deleted."""

    form = ReasonForm
    list_display = ("__str__", "code", "position", "is_active")
    list_editable = ("position", "is_active")
    sortable_by = ()  # their position is their order

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_form(request, **{"form": ReasonLineForm} | kwargs)

    def get_readonly_fields(
        self, request: HttpRequest, obj: RefundReason | None = None
    ) -> tuple[str, ...]:
        return ("code",) if obj else ()

    def save_model(self, request: HttpRequest, obj: RefundReason, form: Any, change: bool) -> None:
        before = _facts(RefundReason.objects.get(pk=obj.pk)) if change else {}
        super().save_model(request, obj, form, change)
        kind = Kind.REASON_CHANGED if change else Kind.REASON_ADDED
        if told := changes(before, _facts(obj)):
            record(kind, actor=request.user, about=obj, data=told)

    def delete_model(self, request: HttpRequest, obj: RefundReason) -> None:
        self.delete_queryset(request, RefundReason.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RefundReason]) -> None:
        with database.atomic():
            gone = list(queryset)
            super().delete_queryset(request, queryset)
            for reason in gone:
                record(Kind.REASON_DELETED, actor=request.user, about=reason, data=_facts(reason))


def _facts(reason: RefundReason) -> dict[str, Any]:
    fields = RefundReason._meta.concrete_fields
    return {field.name: getattr(reason, field.name) for field in fields if not field.primary_key}
