"""The audit log on the staff site: both chains as one timeline, for auditors.

It stands here because here both are known: the app ``audit`` lies below those that write to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy

from access.rights import accounts_where, may_somewhere, within
from audit.kinds import Kind
from audit.log import record
from transactions.changelist import (
    Cursor,
    FromDateFilter,
    KeysetChangeList,
    ListFilter,
    ToDateFilter,
)
from transactions.exports import BYTE_ORDER_MARK, as_text, csv_part, refusal
from transactions.list_filters import AccountFilter
from transactions.models import Transaction
from transactions.readonly import ReadOnlyAdmin, signed_in
from transactions.saved_views import without_search
from transactions.table import Narrowed

from .audit_rows import GROUPS, HEADINGS, build_rows, cells_of, choices_of_kinds
from .models import AuditLine, Refund

VIEW, EXPORT = "audit.view_auditentry", "audit.export_auditentry"
_PAGE = 1000
# How many refunds of one payment, or of accounts, are looked for by name.
_MOST = 100


class KindFilter(ListFilter):
    """A group of kinds, or one kind."""

    title = gettext_lazy("What")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return choices_of_kinds()

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == AuditLine.EVENTS:
            return queryset.filter(chain=AuditLine.EVENTS)
        if value in GROUPS:
            kinds = [kind.value for kind in Kind if kind.group == value]
            return queryset.filter(chain=AuditLine.ENTRIES, kind__in=kinds)
        return queryset.filter(kind=value)


class PersonFilter(ListFilter):
    title = gettext_lazy("Who")
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        people = User.objects.filter(is_staff=True).order_by("username")
        return [(str(pk), name) for pk, name in people.values_list("pk", "username")]


class AboutAccountFilter(AccountFilter):
    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return super().narrow(queryset, value).filter(_by_name([self.ids[value]]))


class AuditChangeList(KeysetChangeList):
    """Newest first."""

    moment = "at"
    may_export = False

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.rows = build_rows(request, self.result_list)
        self.may_export = may_somewhere(request.user, EXPORT)


class NarrowedLines(Narrowed):
    moment = "at"


class AuditLineAdmin(ReadOnlyAdmin):
    """Who sees it for single accounts sees what is about those; the rest is for who sees it all."""

    list_filter: ClassVar[tuple[type[ListFilter], ...]] = (
        KindFilter, PersonFilter, AboutAccountFilter, FromDateFilter, ToDateFilter,
    )  # fmt: skip
    list_class = AuditChangeList
    list_title = gettext_lazy("Audit log")
    search_help_text = gettext_lazy("Id of a payment, a refund or what else it is about")
    results_template = "refunds/audit_results.html"

    @property
    def view_right(self) -> str:
        return VIEW

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export_view)
        return [
            path("export.csv", export, name="refunds_auditline_export"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditLine]:
        rows = super().get_queryset(request)
        accounts = accounts_where(request.user, VIEW)
        return rows if accounts is None else rows.filter(_by_name(accounts))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """What is about no account is for who sees the log of every one."""
        if isinstance(obj, AuditLine) and obj.account_id is None:
            return request.user.has_perm(VIEW)
        return super().has_view_permission(request, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditLine], search_term: str
    ) -> tuple[QuerySet[AuditLine], bool]:
        wanted = search_term.strip()
        return (queryset.filter(_about(wanted)) if wanted else queryset), False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AuditLine | None:
        """By the key of its own chain, which has an index."""
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) < 19):
            return None
        sequence, is_event = divmod(int(object_id), 2)
        chain = AuditLine.EVENTS if is_event else AuditLine.ENTRIES
        return self.get_queryset(request).filter(chain=chain, sequence=sequence).first()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.refuse_writing(request)
        line = self.get_visible(request, object_id)
        [row] = build_rows(request, [line])
        template = "admin/refunds/auditline/change_form.html"
        return self.render(request, template, line, row=row, line=line, title=row.text)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Everything that the list shows for the query of the address, as a file."""
        person = signed_in(request)
        self.refuse_writing(request)
        if not (self.has_view_permission(request) and may_somewhere(person, EXPORT)):
            raise PermissionDenied
        narrowed = NarrowedLines(
            request, self.model, (), (), self.list_filter, None, (), False, self.list_per_page, 0,
            (), self, None, "",
        )  # fmt: skip
        if refused := refusal(request, narrowed):
            return refused
        rows = within(narrowed.queryset, person, EXPORT)
        told = {"what": "audit_log", "format": "csv"}
        told["query"] = without_search(narrowed.query_to_keep)
        record(Kind.EXPORTED, actor=person, data=told)
        name = f"audit-log-{timezone.localdate():%Y-%m-%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        kind = "text/csv; charset=utf-8"
        return StreamingHttpResponse(_csv_lines(request, rows), content_type=kind, headers=headers)


def _about(text: str) -> Q:
    """The lines about the object of this id: for a payment those of its refunds as well."""
    paid = Q(external_id=text)
    if text.isascii() and text.isdigit() and len(text) < 19:
        paid |= Q(pk=int(text))
    payments = list(Transaction.objects.filter(paid).values_list("pk", flat=True)[:_MOST])
    refunds = list(
        Refund.objects.filter(transaction__in=payments).values_list("pk", flat=True)[:_MOST]
    )
    with suppress(ValueError):
        refunds.append(UUID(text))
    ids = [text, *map(str, payments), *map(str, refunds)]
    # By chain, so that each half of the view has one condition, and that an index answers it.
    return Q(chain=AuditLine.ENTRIES, about_id__in=ids) | Q(
        chain=AuditLine.EVENTS, refund_id__in=refunds
    )


def _by_name(accounts: Collection[int]) -> Q:
    """Of lines about some accounts all of them, so said that an index finds those of a few refunds.

    An event has no account: without this every event ever made is asked for that of its refund.
    Where there are more refunds a page is full soon enough.
    """
    found = Refund.objects.filter(account__in=accounts).values_list("pk", flat=True)
    refunds = list(found[: _MOST + 1])
    if len(refunds) > _MOST:
        return Q()
    return Q(chain=AuditLine.ENTRIES) | Q(chain=AuditLine.EVENTS, refund_id__in=refunds)


def _csv_lines(request: HttpRequest, rows: QuerySet[AuditLine]) -> Iterator[bytes]:
    """The lines of a CSV file, a page at a time. Text that could be a formula begins with ``'``."""
    yield csv_part([[str(heading) for heading in HEADINGS]], mark=BYTE_ORDER_MARK)
    wanted = rows.order_by("-at", "-pk")
    page = list(wanted[:_PAGE])
    while page:
        built = build_rows(request, page)
        yield csv_part([[as_text(cell) for cell in cells_of(row)] for row in built])
        last = Cursor(newer=False, at=page[-1].at, pk=page[-1].pk)
        page = list(wanted.filter(last.beyond("at"))[:_PAGE]) if len(page) == _PAGE else []
