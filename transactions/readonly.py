"""The admin of tables that nobody edits: lists and pages to look at, changed by services only."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from access.rights import may_somewhere, within

from .changelist import KeysetChangeList
from .filters import search
from .models import Transaction
from .retelling import retell

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin

# The name of the address of a payment's page.
PAYMENT_PAGE = "admin:transactions_transaction_change"
# The element that htmx swaps when a list is searched, filtered or paged.
RESULTS = "results"


def signed_in(request: HttpRequest) -> User:
    """The person behind a request that came through the staff site's own check."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def pressed(view: Callable[..., HttpResponse], page: str) -> Callable[..., HttpResponse]:
    """A view of the ``object_id`` that a button posts to; opened otherwise it leads to its page.

    The way back from a login that was needed in between opens it, and the press is lost.
    """

    @require_http_methods(["GET", "HEAD", "POST"])
    @wraps(view)
    def answer(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.method == "POST":
            return view(request, **kwargs)
        messages.warning(request, _("Nothing was done. Press the button again."))
        return redirect(page, kwargs["object_id"])

    return answer


def changed(
    request: HttpRequest,
    transaction: Transaction,
    sentence: str,
    level: int = messages.SUCCESS,
    undo: str = "",
) -> HttpResponse:
    """Say what happened to a transaction, and have it shown anew. ``undo`` takes the press."""
    if not request.headers.get("HX-Request"):
        messages.add_message(request, level, retell(sentence))
        return redirect(PAYMENT_PAGE, transaction.pk)
    response = HttpResponse(status=HTTPStatus.NO_CONTENT)
    announce(response, transaction, sentence, failed=level == messages.ERROR, undo=undo)
    return response


def announce(
    response: HttpResponse,
    transaction: Transaction,
    sentence: str,
    *,
    failed: bool = False,
    undo: str = "",
) -> None:
    """Have htmx say the sentence and show the transaction anew, besides what the response does."""
    event = {"transaction": transaction.pk, "say": retell(sentence), "failed": failed, "undo": undo}
    response["HX-Trigger"] = json.dumps({"transaction-changed": event})


class ReadOnlyAdmin(_ModelAdmin):
    """No adding, changing, deleting or bulk action, whoever asks, superusers included."""

    actions = None
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    change_list_template = "desk/change_list.html"
    results_template: ClassVar[str]
    list_class: ClassVar[type[KeysetChangeList]] = KeysetChangeList
    list_title: ClassVar[str | Promise] = ""  # in place of Django's "Select … to view"

    @property
    def view_right(self) -> str:
        return f"{self.opts.app_label}.view_{self.opts.model_name}"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            return may_somewhere(request.user, self.view_right)
        return request.user.has_perm(self.view_right, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return within(rows, request.user, self.view_right)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return self.list_class

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.refuse_writing(request)
        context: dict[str, Any] = {"title": self.list_title} if self.list_title else {}
        response = super().changelist_view(request, context | (extra_context or {}))
        if isinstance(response, TemplateResponse) and request.headers.get("HX-Target") == RESULTS:
            response.template_name = self.results_template
        return response

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.get_visible(request, object_id)
        page: HttpResponse = super().history_view(request, object_id, extra_context)
        return page

    def refuse_writing(self, request: HttpRequest) -> None:
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied

    def get_visible(self, request: HttpRequest, object_id: str) -> Any:
        """The object of a page. Raises PermissionDenied for who may see none of them.

        Raises Http404 for one that is not there, or is of an account that the person does not see.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_object(request, unquote(object_id))
        if found is None or not self.has_view_permission(request, found):
            raise Http404(_("There is no such %s.") % self.opts.verbose_name)
        return found

    def render(
        self, request: HttpRequest, template: str, shown: Model | None, **context: Any
    ) -> TemplateResponse:
        """A page about ``shown``, or none, in the layout of the staff site."""
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": shown,
                "title": str(shown or self.list_title),
                **context,
            },
        )

    def render_dialog(
        self, request: HttpRequest, fragment: str, shown: Model | None, **context: Any
    ) -> HttpResponse:
        """A form: in the dialog of the page that asked for it, or on a page of its own."""
        if request.headers.get("HX-Request"):
            return render(request, fragment, context | {"in_dialog": True})
        return self.render(request, "desk/dialog_page.html", shown, fragment=fragment, **context)


class OfPaymentAdmin(ReadOnlyAdmin):
    """Rows with a ``transaction``, found by whatever finds that."""

    search_help_text = gettext_lazy("Payment, name, e-mail, order, card")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        queryset = queryset.defer("transaction__search_text")
        if not search_term.strip():
            return queryset, False
        paid = search(Transaction.objects.all(), search_term)
        return queryset.filter(transaction__in=paid), False
