"""Transactions and customers on the staff site: found in a table, told on a page, never edited."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.models import Processor, ProcessorAccount
from gateways.money import CURRENCIES, Money

from .badges import Badge, badge_of
from .changelist import FlagFilter, FromDateFilter, KeysetChangeList, ListFilter, ToDateFilter
from .filters import bounded, search
from .forms import NoteForm
from .methods import BRANDS, BRANDS_OFFERED, METHODS, WALLETS, spellings
from .models import TAKEN, Customer, Note, RefundProgress, Transaction, TransactionStatus
from .readonly import ReadOnlyAdmin, pressed, signed_in

# The name of the address of a payment's page.
PAYMENT_PAGE = "admin:transactions_transaction_change"


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


class ProcessorFilter(ListFilter):
    title = gettext_lazy("Processor")
    parameter_name = "processor"
    offered = Processor


class AccountFilter(ListFilter):
    title = gettext_lazy("Account")
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.ids = dict(ProcessorAccount.objects.order_by("slug").values_list("slug", "pk"))
        return [(slug, slug) for slug in self.ids]

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(account=self.ids[value])  # by id: the index starts with it


class RefundStateFilter(ListFilter):
    title = gettext_lazy("Refund")
    parameter_name = "refund_state"
    offered = RefundProgress


class StatusFilter(ListFilter):
    title = gettext_lazy("Status")
    parameter_name = "status"
    offered = TransactionStatus


class DisputedFilter(FlagFilter):
    is_rare = True
    title = gettext_lazy("Disputed")
    parameter_name = "disputed"


class MethodFilter(ListFilter):
    """A kind of method, or a brand of card."""

    title = gettext_lazy("Method")
    parameter_name = "method"
    is_rare = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        brands = [(brand, BRANDS[brand]) for brand in BRANDS_OFFERED]
        card, *others = METHODS.items()
        return [card, *brands, *others]

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value in METHODS:
            return queryset.filter(method_type=value)
        return queryset.filter(brand__in=spellings(value))


class WalletFilter(ListFilter):
    title = gettext_lazy("Wallet")
    parameter_name = "wallet"
    is_rare = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(WALLETS.items())


class CurrencyFilter(ListFilter):
    title = gettext_lazy("Currency")
    parameter_name = "currency"
    is_rare = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in sorted(CURRENCIES)]


class LeastAmountFilter(ListFilter):
    """In major units of each transaction's own currency."""

    kind = "amount"
    title = gettext_lazy("At least")
    parameter_name = "amount_min"
    is_rare = True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return bounded(queryset, "gte", value)


class MostAmountFilter(ListFilter):
    kind = "amount"
    title = gettext_lazy("At most")
    parameter_name = "amount_max"
    is_rare = True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return bounded(queryset, "lte", value)


class CustomerFilter(ListFilter):
    """Not in the bar: customers' pages lead here."""

    kind = "hidden"
    title = gettext_lazy("Customer")
    parameter_name = "customer"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(customer=value)


class TransactionChangeList(KeysetChangeList):
    """The table, row by row as the template draws it."""

    model_admin: TransactionAdmin

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.rows = self.model_admin.build_rows(request, self.result_list)


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    """What was paid. :mod:`refunds.admin` adds what went back."""

    list_select_related = ("account",)
    list_filter: ClassVar[tuple[type[ListFilter], ...]] = (
        ProcessorFilter, AccountFilter, RefundStateFilter, StatusFilter, FromDateFilter,
        ToDateFilter, CurrencyFilter, LeastAmountFilter, MostAmountFilter, MethodFilter,
        WalletFilter, DisputedFilter, CustomerFilter,
    )  # fmt: skip
    list_class = TransactionChangeList
    search_help_text = gettext_lazy("Id, name, e-mail, order, card")
    results_template = "transactions/_results.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(pressed(self.add_note_view, PAYMENT_PAGE))
        name = "transactions_transaction_add_note"
        return [path("<path:object_id>/note/", view, name=name), *super().get_urls()]

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
            return render(request, "transactions/_row.html", {"row": row})
        context = self.describe(request, transaction) | (extra_context or {})
        if fragment == "story":
            return render(request, "transactions/_story.html", context)
        context |= self.list_notes(request, transaction)
        template = "admin/transactions/transaction/change_form.html"
        return self.render(request, template, transaction, **context)

    def describe(self, request: HttpRequest, transaction: Transaction) -> dict[str, Any]:
        """The context of the part of the page that updates itself."""
        [row] = self.build_rows(request, [transaction])
        whole = max(transaction.amount_minor, 1)
        gone = transaction.refunded_minor + transaction.reserved_minor
        return {
            "transaction": transaction,
            "row": row,
            "related_ids": transaction.related_ids.split(),
            "shares": {
                "refunded": min(100 * transaction.refunded_minor // whole, 100),
                "gone": min(100 * gone // whole, 100),
            },
        }

    def list_notes(
        self, request: HttpRequest, transaction: Transaction, form: NoteForm | None = None
    ) -> dict[str, Any]:
        may_see = request.user.has_perm("transactions.view_note")
        may_write = request.user.has_perm("transactions.add_note")
        return {
            "notes": transaction.notes.select_related("author") if may_see else (),
            "note_form": (form or NoteForm()) if may_write else None,
        }

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
        if not author.has_perm("transactions.add_note"):
            raise PermissionDenied
        form = NoteForm(request.POST)
        saved = form.is_valid()
        if saved:
            text = form.cleaned_data["text"]
            Note.objects.create(transaction=transaction, author=author, text=text)
        if request.headers.get("HX-Request"):
            again = None if saved else form
            context = self.list_notes(request, transaction, again) | {"transaction": transaction}
            return render(request, "transactions/_notes.html", context)
        if not saved:
            messages.error(request, " ".join(map(str, form.errors["text"])))
        return redirect("admin:transactions_transaction_change", transaction.pk)


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    """One payer, and what they paid, newest first. Customers are found through transactions."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.refuse_writing(request)
        return redirect("admin:transactions_transaction_changelist")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.refuse_writing(request)
        customer = self.get_visible(request, object_id)
        transactions = self.admin_site.get_model_admin(Transaction)
        assert isinstance(transactions, TransactionAdmin)
        if not transactions.has_view_permission(request):
            raise PermissionDenied
        newest = (
            Transaction.objects.filter(customer=customer)
            .select_related("account")
            .order_by("-created_at", "-pk")[: self.list_per_page + 1]
        )
        found = list(newest)
        every = reverse("admin:transactions_transaction_changelist")
        return self.render(
            request,
            "admin/transactions/customer/change_form.html",
            customer,
            rows=transactions.build_rows(request, found[: self.list_per_page]),
            every_url=f"{every}?customer={customer.pk}" if len(found) > self.list_per_page else "",
            totals=_sum_up(customer),
        )


def _sum_up(customer: Customer) -> list[tuple[Money, Money]]:
    """What the customer paid and got back, per currency."""
    sums = (
        Transaction.objects.filter(customer=customer, status__in=TAKEN)
        .order_by("currency")
        .values_list("currency")
        .annotate(Sum("amount_minor"), Sum("refunded_minor"))
    )
    return [(Money(paid, code), Money(refunded, code)) for code, paid, refunded in sums]
