"""Transactions on the staff site: found in a table, told on a page, never edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from access.rights import within

from . import exchanges
from .columns import drawn_with
from .customer_pages import CustomerAdmin, totals_of
from .forms import ExchangeForm, NoteForm
from .models import Customer, Exchange, Note, Transaction
from .readonly import PAYMENT_PAGE, announce, changed, pressed, signed_in
from .table import TransactionTable
from .timeline import newest_first, payment_lines
from .twins import twins_of

admin.site.register(Customer, CustomerAdmin)


@admin.register(Transaction)
class TransactionAdmin(TransactionTable):
    """What was paid. :mod:`refunds.admin` adds what went back."""

    def get_urls(self) -> list[URLPattern]:
        name = "transactions_transaction"

        def button(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            return self.admin_site.admin_view(pressed(view, PAYMENT_PAGE))

        return [
            path("<path:object_id>/note/", button(self.add_note_view), name=f"{name}_add_note"),
            path("<path:object_id>/exchange/", button(self.link_view), name=f"{name}_exchange"),
            path(
                "<path:object_id>/exchange/<int:key>/unlink/", button(self.unlink_view),
                name=f"{name}_unlink",
            ),
            *super().get_urls(),
        ]  # fmt: skip

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.refuse_writing(request)
        transaction = self.get_visible(request, object_id)
        fragment = request.GET.get("fragment")
        if fragment == "row":
            [row] = self.build_rows(request, [transaction])
            shown = {"row": row} | drawn_with(request)
            return render(request, "transactions/_row.jinja", shown, using="jinja2")
        context = self.describe(request, transaction) | (extra_context or {})
        if fragment == "story":
            return render(request, "transactions/_story.html", context)
        if request.user.has_perm("transactions.add_note", transaction):
            context["note_form"] = NoteForm()
        if transaction.customer:
            context["totals"] = totals_of(transaction.customer, signed_in(request))
        template = "admin/transactions/transaction/change_form.html"
        return self.render(request, template, transaction, **context)

    def describe(self, request: HttpRequest, transaction: Transaction) -> dict[str, Any]:
        """The context of the part of the page that updates itself."""
        [row] = self.build_rows(request, [transaction])
        whole = max(transaction.amount_minor, 1)
        gone = transaction.refunded_minor + transaction.reserved_minor
        notes = self.list_notes(request, transaction)
        linked = self.list_exchanges(request, transaction)
        return {
            "transaction": transaction,
            "notes": notes,
            "row": row,
            "related_ids": transaction.related_ids.split(),
            "shares": {
                "refunded": min(100 * transaction.refunded_minor // whole, 100),
                "gone": min(100 * gone // whole, 100),
            },
            "exchanges": linked,
            "twins": list(within(twins_of(transaction), request.user, self.view_right)),
            "timeline": newest_first(payment_lines(transaction, notes, linked)),
        }

    def list_notes(self, request: HttpRequest, transaction: Transaction) -> list[Note]:
        """The notes on it, newest first, as far as the person may see them."""
        if not request.user.has_perm("transactions.view_note", transaction):
            return []
        return list(transaction.notes.select_related("author"))

    def list_exchanges(self, request: HttpRequest, transaction: Transaction) -> list[Exchange]:
        """Those of it whose both payments the person may see."""
        rows = exchanges.of(transaction)
        for side in ("original__account", "replacement__account"):
            rows = within(rows, request.user, self.view_right, side)
        return list(rows)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Transaction | None:
        try:
            return Transaction.objects.select_related("account", "customer").get(pk=object_id)
        except (Transaction.DoesNotExist, ValueError):
            return None

    def add_note_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        transaction = self.get_visible(request, object_id)
        author = signed_in(request)
        if not author.has_perm("transactions.add_note", transaction):
            raise PermissionDenied
        form = NoteForm(request.POST)
        saved = form.is_valid()
        if saved:
            text = form.cleaned_data["text"]
            Note.objects.create(transaction=transaction, author=author, text=text)
        if request.headers.get("HX-Request"):
            context = {
                "transaction": transaction,
                "notes": self.list_notes(request, transaction),
                "note_form": NoteForm() if saved else form,
            }
            response = render(request, "transactions/_notes.html", context)
            if saved:  # the history tells of it, too
                announce(response, transaction, _("The note is added."))
            return response
        if not saved:
            messages.error(request, " ".join(map(str, form.errors["text"])))
        return redirect("admin:transactions_transaction_change", transaction.pk)

    def link_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Link the payment for what the customer got in exchange."""
        transaction = self.get_visible(request, object_id)
        user = signed_in(request)
        if not user.has_perm(exchanges.ADD, transaction):
            raise PermissionDenied(_("You may not link exchanges."))
        form = ExchangeForm(request.POST)
        if not form.is_valid():
            sentence = " ".join(map(str, form.errors["payment"]))
            return changed(request, transaction, sentence, messages.ERROR)
        try:
            exchange = exchanges.link(transaction, form.cleaned_data["payment"], actor=user)
        except exchanges.NotLinked as refusal:
            return changed(request, transaction, str(refusal), messages.ERROR)
        said = _("Linked with the payment %s.") % exchange.replacement
        return self.show_exchanges(request, transaction, said)

    def unlink_view(self, request: HttpRequest, object_id: str, key: int) -> HttpResponse:
        transaction = self.get_visible(request, object_id)
        if not request.user.has_perm(exchanges.DELETE, transaction):
            raise PermissionDenied(_("You may not unlink exchanges."))
        shown = [each for each in self.list_exchanges(request, transaction) if each.pk == key]
        if not shown:
            raise Http404
        exchanges.unlink(shown[0], actor=signed_in(request))
        return self.show_exchanges(request, transaction, _("They are not linked any more."))

    def show_exchanges(
        self, request: HttpRequest, transaction: Transaction, said: str
    ) -> HttpResponse:
        if not request.headers.get("HX-Request"):
            return changed(request, transaction, said)
        linked = self.list_exchanges(request, transaction)
        context = {"transaction": transaction, "exchanges": linked}
        response = render(request, "transactions/_exchanges.html", context)
        announce(response, transaction, said)
        return response
