"""The webhook log of the staff site: what came in, what was done about it, and doing it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, TextChoices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from access.rights import within
from transactions.badges import Badge, badge_of
from transactions.changelist import FromDateFilter, KeysetChangeList, ListFilter, ToDateFilter
from transactions.list_filters import AccountFilter
from transactions.models import Transaction
from transactions.readonly import ReadOnlyAdmin, pressed, signed_in

from .models import Refund, WebhookEvent, WebhookState
from .services import NotAllowed
from .webhooks import NotProcessable, process_again

TONES: dict[TextChoices, str] = {
    WebhookState.RECEIVED: "busy",
    WebhookState.PROCESSED: "good",
    WebhookState.IGNORED: "quiet",
    WebhookState.FAILED: "bad",
    WebhookState.REJECTED: "warn",
}
_SEARCHED = ("event_id", "payment_id", "refund_id")
# Milliseconds until a page asks again how an event that waits is doing.
_POLL_AFTER = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """One event, with the keys of our rows that it names, where they are known and may be seen."""

    event: WebhookEvent
    badge: Badge
    transaction_id: int | None
    refund_id: UUID | None


class StateFilter(ListFilter):
    title = gettext_lazy("Status")
    parameter_name = "state"
    offered = WebhookState


class WebhookChangeList(KeysetChangeList):
    """Newest first."""

    moment = "received_at"

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.rows = _build_rows(request, self.result_list)


class WebhookEventAdmin(ReadOnlyAdmin):
    """What processors told us, word for word never: only ids, and what came of them."""

    list_select_related = ("account",)
    list_filter: ClassVar[tuple[type[ListFilter], ...]] = (
        StateFilter, AccountFilter, FromDateFilter, ToDateFilter,
    )  # fmt: skip
    list_class = WebhookChangeList
    list_title = gettext_lazy("Webhooks")
    search_help_text = gettext_lazy("Event, payment or refund id")
    results_template = "refunds/webhook_results.html"

    def get_urls(self) -> list[URLPattern]:
        page = "admin:refunds_webhookevent_change"
        view = self.admin_site.admin_view(pressed(self.process_view, page))
        name = "refunds_webhookevent_process"
        return [path("<int:object_id>/process/", view, name=name), *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent], search_term: str
    ) -> tuple[QuerySet[WebhookEvent], bool]:
        wanted = search_term.strip()
        if not wanted:
            return queryset, False
        found = Q(*((f"{name}__startswith", wanted) for name in _SEARCHED), _connector=Q.OR)
        return queryset.filter(found), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.refuse_writing(request)
        event = self.get_visible(request, object_id)
        [row] = _build_rows(request, [event])
        context = {
            "row": row,
            "event": event,
            "body_sha256": bytes(event.body_sha256).hex(),
            "may_process": request.user.has_perm("refunds.process_webhook", event),
            "poll_after": _POLL_AFTER if event.state == WebhookState.RECEIVED else None,
        }
        if request.GET.get("fragment") == "story":
            return render(request, "refunds/webhook_story.html", context)
        template = "admin/refunds/webhookevent/change_form.html"
        return self.render(request, template, event, **context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> WebhookEvent | None:
        try:
            return WebhookEvent.objects.select_related("account").get(pk=object_id)
        except (WebhookEvent.DoesNotExist, ValueError):
            return None

    def process_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        event = self.get_visible(request, str(object_id))
        try:
            process_again(event, actor=signed_in(request))
        except NotAllowed as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        except NotProcessable as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, _("The processor is asked again in a moment."))
        return redirect("admin:refunds_webhookevent_change", event.pk)


def _build_rows(request: HttpRequest, events: list[WebhookEvent]) -> list[Row]:
    """The lines of these events, in as many queries for one as for many."""
    payments = {(event.account_id, event.payment_id) for event in events if event.payment_id}
    refunds = {(event.account_id, event.refund_id) for event in events if event.refund_id}
    known_payments = _known(request, Transaction.objects.all(), "external_id", payments)
    known_refunds = _known(request, Refund.objects.all(), "processor_refund_id", refunds)
    return [
        Row(
            event,
            badge_of(WebhookState(event.state), TONES),
            known_payments.get((event.account_id, event.payment_id)),
            known_refunds.get((event.account_id, event.refund_id)),
        )
        for event in events
    ]


def _known(
    request: HttpRequest, rows: QuerySet[Any], column: str, ids: set[tuple[int, str]]
) -> dict[tuple[int, str], Any]:
    """The keys of our rows by account and processor's id, as far as the person may see them."""
    right = f"{rows.model._meta.app_label}.view_{rows.model._meta.model_name}"
    if not ids:
        return {}
    accounts, names = zip(*ids, strict=True)
    found = within(rows, request.user, right).filter(
        account__in=set(accounts), **{f"{column}__in": names}
    )
    return {(account, name): pk for pk, account, name in found.values_list("pk", "account", column)}
