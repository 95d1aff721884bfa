"""The table of transactions: found, filtered, kept as a view, taken along as a file."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    QueryDict,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, re_path, reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from access.models import Profile
from access.returning import follow
from access.rights import may_somewhere, within
from audit.kinds import Kind
from audit.log import record
from gateways.models import Processor

from . import columns, saved_views
from .badges import Badge, badge_of
from .changelist import FromDateFilter, KeysetChangeList, ListFilter, ToDateFilter
from .exports import csv_lines, estimate, refusal, write_xlsx
from .filters import search
from .forms import ColumnsForm, SavedViewForm
from .list_filters import (
    AccountFilter,
    CurrencyFilter,
    CustomerFilter,
    DisputedFilter,
    LeastAmountFilter,
    MethodFilter,
    MostAmountFilter,
    ProcessorFilter,
    RefundStateFilter,
    StatusFilter,
    TwinFilter,
    WalletFilter,
)
from .models import (
    RefundProgress,
    SavedView,
    Transaction,
    TransactionStatus,
)
from .readonly import ReadOnlyAdmin, signed_in
from .saved_views import NotSaved

# The numbers of the sidebar end here, so that none of them costs more than a page.
_COUNTED = 999
_EXPORT = "transactions.export_transaction"


@dataclass(slots=True)
class Row:
    """One line of the table. ``poll_after`` (milliseconds) is set while something moves."""

    transaction: Transaction
    refund_badge: Badge
    status_badge: Badge
    marks: list[Badge] = field(default_factory=list)
    poll_after: int | None = None
    refund_url: str = ""
    undo_url: str = ""


class TransactionChangeList(KeysetChangeList):
    """The table, row by row as the template draws it."""

    model_admin: TransactionTable
    saved_view: SavedView | None = None  # what is shown, where it has a name
    may_delete_view = False
    how_many = ""  # in words; nothing is counted

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.newer_url or self.older_url:
            number = estimate(self.queryset)
            # Where statistics know less than the page shows they are too old to be told.
            told = _("about %s transactions") % about(number)
            self.how_many = told if number > self.list_per_page else ""
        self.rows = self.model_admin.build_rows(request, self.result_list)
        if self.query_to_keep:
            user = signed_in(request)
            views = saved_views.shown_to(request, user)
            named = [view for view in views if view.query == self.query_to_keep]
            self.saved_view = min(named, key=lambda view: view.owner_id != user.pk, default=None)
        if self.saved_view:
            self.may_delete_view = saved_views.may_delete(self.saved_view, user)


def about(number: int) -> str:
    """Two digits of a number are told, and the rest is noise: statistics know no more."""
    digits = max(len(str(number)) - 2, 0)
    rounded = (number + 10**digits // 2) // 10**digits * 10**digits
    return formats.number_format(rounded, force_grouping=True)


class Narrowed(KeysetChangeList):
    """The rows that an address asks for, and none of them read."""

    def get_results(self, request: HttpRequest) -> None:
        """Nothing: whoever wants them takes ``queryset``."""


class TransactionTable(ReadOnlyAdmin):
    """The list side of the transactions' admin."""

    list_select_related = ("account", "customer")
    list_filter: ClassVar[tuple[type[ListFilter], ...]] = (
        ProcessorFilter, AccountFilter, RefundStateFilter, StatusFilter, FromDateFilter,
        ToDateFilter, CurrencyFilter, LeastAmountFilter, MostAmountFilter, MethodFilter,
        WalletFilter, DisputedFilter, TwinFilter, CustomerFilter,
    )  # fmt: skip
    list_class = TransactionChangeList
    search_help_text = gettext_lazy("Id, name, e-mail, order, card")
    change_list_template = "admin/transactions/transaction/change_list.html"
    results_template = "transactions/_results.html"

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        name = "transactions_transaction"
        export = guarded(self.export_view)
        return [
            path("columns/", guarded(self.columns_view), name=f"{name}_columns"),
            path("views/save/", guarded(self.save_view), name=f"{name}_save_view"),
            path("views/numbers/", guarded(self.view_numbers), name=f"{name}_view_numbers"),
            path("views/<int:key>/delete/", guarded(self.forget_view), name=f"{name}_delete_view"),
            re_path(r"^export\.(?P<form>csv|xlsx)$", export, name=f"{name}_export"),
            *super().get_urls(),
        ]

    def save_view(self, request: HttpRequest) -> HttpResponse:
        """Keep what the query of the address shows, under a name."""
        user = self.require_viewer(request)
        query = self.canonical(request)
        is_post = request.method == "POST"
        may_share = user.has_perm(saved_views.SHARE)
        form = SavedViewForm(request.POST if is_post else None, may_share=may_share)
        if form.is_valid():
            values = {"is_shared": False} | form.cleaned_data
            try:
                view = saved_views.save(user, values.pop("name"), query, **values)
            except NotSaved as refusal:
                form.add_error(None, str(refusal))
            else:
                sentence = _("The view “%s” is saved. It stands in the sidebar.")
                return self.to_list(request, view.query, sentence % view.name)
        return self.ask(request, "transactions/_save_view.html", form, query)

    def columns_view(self, request: HttpRequest) -> HttpResponse:
        """Choose the columns; then the table of the address again."""
        user = self.require_viewer(request)
        query = self.canonical(request)
        chosen = {"columns": sorted(columns.chosen_by(user))}
        form = ColumnsForm(request.POST if request.method == "POST" else None, initial=chosen)
        if form.is_valid():
            Profile.objects.update_or_create(form.cleaned_data, user=user)
            return self.to_list(request, query)
        return self.ask(request, "transactions/_columns.html", form, query)

    def ask(
        self, request: HttpRequest, fragment: str, form: SavedViewForm | ColumnsForm, query: str
    ) -> HttpResponse:
        """A form about the table: in the dialog, or on a page of its own."""
        return self.render_dialog(request, fragment, None, form=form, query=query)

    def canonical(self, request: HttpRequest) -> str:
        """What the address asks the table for, as a saved view keeps it."""
        known = {SEARCH_VAR, *(str(each.parameter_name) for each in self.list_filter)}
        return saved_views.canonical(request.GET.dict(), known)

    def forget_view(self, request: HttpRequest, key: int) -> HttpResponse:
        user = self.require_viewer(request)
        view = get_object_or_404(saved_views.visible_to(user), pk=key)
        if request.method != "POST":
            return self.to_list(request, view.query)
        if not saved_views.may_delete(view, user):
            raise PermissionDenied(_("Only who made a view, or who may share views, deletes it."))
        saved_views.delete(view, actor=user)
        return self.to_list(request, view.query, _("The view “%s” is deleted.") % view.name)

    def view_numbers(self, request: HttpRequest) -> HttpResponse:
        """How many transactions each view of the person shows: a fragment for the sidebar."""
        views = saved_views.visible_to(self.require_viewer(request))
        numbers = [(view, self.count(request, view.query)) for view in views]
        return render(request, "transactions/_view_numbers.html", {"numbers": numbers})

    def count(self, request: HttpRequest, query: str) -> str:
        """How many transactions an address shows, in words."""
        matching = self.narrowed(request, query).order_by().values_list("pk")[: _COUNTED + 1]
        number = matching.count()
        return f"{_COUNTED}+" if number > _COUNTED else str(number)

    def narrowed(self, request: HttpRequest, query: str) -> QuerySet[Transaction]:
        """The transactions that the table shows for a query."""
        rows: QuerySet[Transaction] = self.read(request, query).queryset
        return rows

    def read(self, request: HttpRequest, query: str) -> Narrowed:
        """A query as the table understands it; ``ignored`` is what it does not."""
        asked = copy(request)
        asked.GET = QueryDict(query)
        shows_nothing: tuple[str, ...] = ()
        return Narrowed(
            asked, self.model, shows_nothing, shows_nothing, self.list_filter, None, shows_nothing,
            False, self.list_per_page, 0, shows_nothing, self, None, "",
        )  # fmt: skip

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Everything that the table shows for the query of the address, as a file."""
        person = self.require_viewer(request)
        if not may_somewhere(person, _EXPORT):
            raise PermissionDenied(_("You may not export transactions."))
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        asked = self.read(request, request.GET.urlencode())
        if refused := refusal(request, asked):
            return refused
        rows = within(asked.queryset, person, _EXPORT)
        number = estimate(rows)
        query = saved_views.without_search(self.canonical(request))
        told = {"what": "payments", "format": form, "query": query, "rows_about": number}
        record(Kind.EXPORTED, actor=person, data=told)
        name = f"transactions-{timezone.localdate():%Y-%m-%d}.{form}"
        if form == "xlsx":
            file = TemporaryFile()  # noqa: SIM115  the response closes it
            write_xlsx(rows, file)
            file.seek(0)
            return FileResponse(file, as_attachment=True, filename=name)
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Rows": str(number),
        }
        kind = "text/csv; charset=utf-8"
        return StreamingHttpResponse(csv_lines(rows), content_type=kind, headers=headers)

    def require_viewer(self, request: HttpRequest) -> User:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return signed_in(request)

    def to_list(self, request: HttpRequest, query: str, said: str = "") -> HttpResponse:
        """Show the table with this query, and what was done."""
        if said:
            messages.success(request, said)
        address = f"{reverse('admin:transactions_transaction_changelist')}?{query}"
        return follow(request, address)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Transaction], search_term: str
    ) -> tuple[QuerySet[Transaction], bool]:
        return search(queryset, search_term).defer("search_text"), False

    def build_rows(self, request: HttpRequest, transactions: list[Transaction]) -> list[Row]:
        """The lines of the table for these transactions, in as many queries for one as for many."""
        return [
            Row(
                transaction,
                refund_badge=badge_of(RefundProgress(transaction.refund_state)),
                status_badge=badge_of(TransactionStatus(transaction.status)),
            )
            for transaction in transactions
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": _("Transactions"), "processors": Processor.choices}
        return super().changelist_view(request, context | (extra_context or {}))
