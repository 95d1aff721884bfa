"""Customers on the staff site: found in a table, told on a page, marked and merged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Exists, Max, OuterRef, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from access import step_up
from access.returning import follow
from access.rights import accounts_where, may_somewhere, within
from gateways.money import Money

from .changelist import KeysetChangeList
from .customers import MARK, MERGE, NotMerged, mark, merge, namesakes, part
from .filters import search
from .forms import CustomerForm, MergeForm
from .list_filters import RiskyFilter, VipFilter
from .models import TAKEN, Customer, Note, Transaction
from .readonly import ReadOnlyAdmin, pressed, signed_in
from .table import TransactionTable

PAGE = "admin:transactions_customer_change"
_NOTES = 20
_RISKY = gettext_lazy("Another person approves every refund to this customer from now on.")
_CLEARED = gettext_lazy(
    "This customer is no longer marked as risky. What you ask for yourself still needs another "
    "person."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One customer of the table, with how often and when last they paid."""

    customer: Customer
    payments: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Total:
    """What a customer paid in one currency, and got back of it."""

    payments: int
    paid: Money
    refunded: Money

    @property
    def share(self) -> int:
        """How much went back, in percent."""
        return 100 * self.refunded.minor // max(self.paid.minor, 1)


class CustomerChangeList(KeysetChangeList):
    """Those who are not merged into others, newest first."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        paid = seen_by(request.user).filter(customer__in=self.result_list).order_by()
        counted = paid.values("customer").annotate(payments=Count("pk"), newest=Max("created_at"))
        by_key = {each["customer"]: (each["payments"], each["newest"]) for each in counted}
        self.rows = [
            Row(customer, *by_key.get(customer.pk, (0, None))) for customer in self.result_list
        ]


class CustomerAdmin(ReadOnlyAdmin):
    """The payers, whatever processors they paid through."""

    list_filter = (VipFilter, RiskyFilter)
    list_class: ClassVar[type[KeysetChangeList]] = CustomerChangeList
    list_title = gettext_lazy("Customers")
    search_help_text = gettext_lazy("Name, e-mail")
    results_template = "transactions/_customers.html"

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        steps = {"edit": self.edit_view, "part": self.part_view, "mark": self.mark_view}
        return [
            *(
                path(
                    f"<path:object_id>/{name}/",
                    guarded(pressed(view, PAGE)),
                    name=f"transactions_customer_{name}",
                )
                for name, view in steps.items()
            ),
            path(
                "<path:object_id>/merge/", guarded(self.merge_view),
                name="transactions_customer_merge",
            ),
            *super().get_urls(),
        ]  # fmt: skip

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Customers pay through several accounts: :meth:`get_object` finds whom a person sees."""
        return may_somewhere(request.user, self.view_right)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        return self.payers(request).filter(merged_into=None)

    def payers(self, request: HttpRequest) -> QuerySet[Customer]:
        """Those who paid through an account of which the person may see the customers."""
        accounts = accounts_where(request.user, self.view_right)
        if accounts is None:
            return Customer.objects.all()
        paid = Transaction.objects.filter(customer=OuterRef("pk"), account__in=sorted(accounts))
        return Customer.objects.filter(Exists(paid))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Customer], search_term: str
    ) -> tuple[QuerySet[Customer], bool]:
        return search(queryset, search_term).defer("search_text"), False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Customer | None:
        try:
            return self.payers(request).get(pk=object_id)
        except (Customer.DoesNotExist, ValueError, OverflowError):
            return None

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.refuse_writing(request)
        customer = self.get_visible(request, object_id)
        if not self.table.has_view_permission(request):
            raise PermissionDenied
        if customer.merged_into_id:
            return redirect(PAGE, customer.merged_into_id)
        template = "admin/transactions/customer/change_form.html"
        return self.render(request, template, customer, **self.describe(request, customer))

    @property
    def table(self) -> TransactionTable:
        """The table whose lines the page shows."""
        table = self.admin_site.get_model_admin(Transaction)
        assert isinstance(table, TransactionTable)
        return table

    def describe(self, request: HttpRequest, customer: Customer) -> dict[str, Any]:
        """The context of a customer's page."""
        user = signed_in(request)
        paid = seen_by(user).filter(customer=customer).select_related("account", "customer")
        newest = list(paid.order_by("-created_at", "-pk")[: self.list_per_page + 1])
        notes = within(
            Note.objects.filter(transaction__customer=customer),
            user, "transactions.view_note", "transaction__account",
        )  # fmt: skip
        every = reverse("admin:transactions_transaction_changelist")
        is_long = len(newest) > self.list_per_page
        # They may have paid long before they were read in.
        moments = [customer.created_at, *(payment.created_at for payment in newest)]
        if is_long:
            oldest = paid.order_by("created_at").values_list("created_at", flat=True)
            moments += oldest[:1]
        return {
            "rows": self.table.build_rows(request, newest[: self.list_per_page]),
            "every_url": f"{every}?customer={customer.pk}" if is_long else "",
            "known_since": min(moments),
            "totals": totals_of(customer, user),
            "absorbed": list(customer.absorbed.order_by("email")),
            "form": CustomerForm(instance=customer) if self.may_edit(request) else None,
            "may_merge": user.has_perm(MERGE),
            "may_mark": user.has_perm(MARK) and not customer.erased_at,
            "notes": notes.select_related("author", "transaction")[:_NOTES],
        }

    def may_edit(self, request: HttpRequest) -> bool:
        return may_somewhere(signed_in(request), "transactions.change_customer")

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Keep what staff know of the customer."""
        customer = self.get_visible(request, object_id)
        if not self.may_edit(request):
            raise PermissionDenied(_("You may not change customers."))
        form = CustomerForm(request.POST, instance=customer)
        if not form.is_valid():
            messages.error(request, _("Choose one of the languages."))
        elif form.has_changed():
            form.save()
            said = _("Kept: VIP %(vip)s, language %(language)s.") % {
                "vip": _("yes") if customer.is_vip else _("no"),
                "language": customer.locale or "—",
            }
            LogEntry.objects.log_actions(
                signed_in(request).pk, [customer], CHANGE, said, single_object=True
            )
            messages.success(request, said)
        return redirect(PAGE, customer.pk)

    def merge_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask which other customer is this one, and merge them."""
        customer = self.get_visible(request, object_id)
        user = signed_in(request)
        if not user.has_perm(MERGE):
            raise PermissionDenied(_("You may not merge customers."))
        form = MergeForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            other = form.cleaned_data["email"]
            try:
                merge(other, customer, actor=user)
            except NotMerged as refusal:
                form.add_error("email", str(refusal))
            else:
                return self.show(
                    request, customer, _("%s belongs to this customer now.") % other.email
                )
        context = {"customer": customer, "form": form, "namesakes": namesakes(customer)}
        return self.render_dialog(request, "transactions/_merge.html", customer, **context)

    def part_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Undo a merge, of the customer whose key the form names."""
        customer = self.get_visible(request, object_id)
        if not signed_in(request).has_perm(MERGE):
            raise PermissionDenied(_("You may not merge customers."))
        key = request.POST.get("other", "")
        is_key = key.isdecimal() and len(key) < 19  # what a column can hold
        other = get_object_or_404(customer.absorbed, pk=key if is_key else 0)
        part(other, actor=signed_in(request))
        return self.show(request, customer, _("%s is a customer of their own again.") % other.email)

    def mark_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Mark the customer as risky, or take that back."""
        customer = self.get_visible(request, object_id)
        user = signed_in(request)
        if not user.has_perm(MARK):
            raise PermissionDenied(_("You may not mark customers as risky."))
        if question := step_up.ask(request):
            return question
        is_risky = request.POST.get("risky") == "on"
        if mark(customer, is_risky=is_risky, actor=user):
            messages.success(request, _RISKY if is_risky else _CLEARED)
        return redirect(PAGE, customer.pk)

    def show(self, request: HttpRequest, customer: Customer, said: str) -> HttpResponse:
        """The customer's page, and what was done."""
        messages.success(request, said)
        return follow(request, reverse(PAGE, args=[customer.pk]))


def seen_by(person: Any) -> QuerySet[Transaction]:
    """The payments that the person may see."""
    return within(Transaction.objects.all(), person, "transactions.view_transaction")


def totals_of(customer: Customer, person: Any) -> list[Total]:
    """What the customer paid and got back, per currency, as far as the person may see it."""
    sums = (
        seen_by(person)
        .filter(customer=customer, status__in=TAKEN)
        .order_by("currency")
        .values_list("currency")
        .annotate(Count("pk"), Sum("amount_minor"), Sum("refunded_minor"))
    )
    return [
        Total(number, Money(paid, code), Money(refunded, code))
        for code, number, paid, refunded in sums
    ]
