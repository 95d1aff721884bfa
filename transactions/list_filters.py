"""The filters of the bar above the tables of transactions and of what belongs to them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from access.scoping import staff_accounts
from gateways.models import Processor
from gateways.money import CURRENCIES

from .changelist import FlagFilter, ListFilter
from .filters import bounded
from .methods import BRANDS, BRANDS_OFFERED, METHODS, WALLETS, spellings
from .models import RefundProgress, TransactionStatus
from .twins import with_standing_twin


class ProcessorFilter(ListFilter):
    title = gettext_lazy("Processor")
    parameter_name = "processor"
    offered = Processor


class AccountFilter(ListFilter):
    title = gettext_lazy("Account")
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        shown = staff_accounts(request, model_admin.view_right)
        self.ids = {account.slug: account.pk for account in shown}
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


class TwinFilter(FlagFilter):
    is_rare = True
    title = gettext_lazy("Perhaps charged twice")
    parameter_name = "duplicate"

    def only(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return with_standing_twin(queryset)


class VipFilter(FlagFilter):
    title = gettext_lazy("VIP")
    parameter_name = "is_vip"


class RiskyFilter(FlagFilter):
    title = gettext_lazy("Risky")
    parameter_name = "is_risky"


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
