"""The approval limits on the staff site: set by managers, read by everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from gateways.money import CURRENCIES, InvalidAmount, parse_amount
from transactions.amounts import delocalize, explain
from transactions.readonly import signed_in
from transactions.templatetags.desk import amount as draw_amount
from transactions.timeline import name_of

from .models import ApprovalLimit

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _LimitForm = forms.ModelForm[ApprovalLimit]
else:
    _LimitForm = forms.ModelForm


class ApprovalLimitForm(_LimitForm):
    """A new limit: the amount becomes minor units, and none takes the limit back."""

    currency = forms.CharField(label=_("Currency"), max_length=3, widget=UnfoldAdminTextInputWidget)
    above = forms.CharField(
        label=_("More than"),
        required=False,
        max_length=20,
        widget=UnfoldAdminTextInputWidget,
        help_text=_(
            "When more than this goes back of one payment, another person has to approve it. "
            "0 asks about every refund; empty takes the limit back."
        ),
    )

    class Meta:
        model = ApprovalLimit
        fields = ("account",)

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"].upper()
        if currency not in CURRENCIES:
            raise forms.ValidationError(_("Enter the code of a currency, such as EUR."))
        return currency

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if "currency" not in values or "above" not in values:
            return values
        self.instance.currency = values["currency"]
        self.instance.above_minor = _read_limit(values["above"], values["currency"])
        return values


def _read_limit(text: str, currency: str) -> int | None:
    """The typed limit in minor units; zero asks about every refund, and nothing about none."""
    try:
        return parse_amount(delocalize(text), currency).minor if text else None
    except InvalidAmount as error:
        if error.code == "not_positive":
            return 0
        raise forms.ValidationError({"above": explain(error)}) from None


class ApprovalLimitAdmin(ModelAdmin):
    """The limits, old ones too. A new one takes the place of that of its account and currency."""

    form = ApprovalLimitForm
    list_display = ("scope", "currency", "above", "state", "by", "since")
    list_select_related = ("account", "made_by")
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER

    def get_fields(self, request: HttpRequest, obj: ApprovalLimit | None = None) -> tuple[str, ...]:
        typed = ("account", "currency", "above")
        return (*typed, "by", "since") if obj else typed

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApprovalLimit]:
        newest = ApprovalLimit.objects.newest().filter(pk=OuterRef("pk"))
        return ApprovalLimit.objects.order_by("-pk").annotate(is_newest=Exists(newest))

    @display(description=_("Account"))
    def scope(self, limit: ApprovalLimit) -> str:
        return str(limit.account or gettext("Every account"))

    @display(description=_("More than"))
    def above(self, limit: ApprovalLimit) -> str:
        return draw_amount(limit.above) if limit.above else gettext("No limit")

    @display(description=_("State"), label={True: "success", False: "info"})
    def state(self, limit: ApprovalLimit) -> tuple[bool, str]:
        is_newest: bool = getattr(limit, "is_newest", False)
        return is_newest, gettext("In force") if is_newest else gettext("Replaced")

    @display(description=_("By"))
    def by(self, limit: ApprovalLimit) -> str:
        return name_of(limit.made_by)

    @display(description=_("Since"))
    def since(self, limit: ApprovalLimit) -> str:
        return date_format(timezone.localtime(limit.made_at), "j M Y, H:i")

    def formfield_for_foreignkey(self, *args: Any, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(
            *args, **kwargs, empty_label=gettext("Every account")
        )

    def has_change_permission(self, request: HttpRequest, obj: ApprovalLimit | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApprovalLimit | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApprovalLimit, form: Any, change: bool) -> None:
        obj.made_by = signed_in(request)
        super().save_model(request, obj, form, change)
