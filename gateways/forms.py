"""The form of a processor account: credentials go in and never come out again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextInputWidget,
    UnfoldAdminURLInputWidget,
)

from .accounts import change_credentials, credential_hints, credential_names
from .errors import CredentialsMissing, Misconfigured
from .models import Processor, ProcessorAccount
from .money import InvalidAmount, Money, parse_amount
from .registry import open_gateway
from .validators import RefusesCardNumbers

_PERCENT = re.compile(r"\A(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)\Z", re.ASCII)

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _ModelForm = forms.ModelForm[ProcessorAccount]
else:
    _ModelForm = forms.ModelForm


class AccountForm(RefusesCardNumbers, _ModelForm):
    """Valid only when the account could be called as it is. See :func:`form_for`."""

    credential_fields: ClassVar[dict[str, tuple[str, str]]] = {}
    base_url = forms.URLField(
        label=gettext_lazy("Address"),
        required=False,
        assume_scheme="https",
        max_length=200,
        widget=UnfoldAdminURLInputWidget,
        help_text=ProcessorAccount._meta.get_field("base_url").help_text,
    )
    fee = forms.RegexField(
        label=gettext_lazy("Fee kept, percent"),
        required=False,
        regex=_PERCENT,
        error_messages={"invalid": gettext_lazy("Enter a percentage from 0 to 100, such as 2.9.")},
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Of a payment, what the processor does not give back with it."),
    )
    refund_fee = forms.CharField(
        label=gettext_lazy("Fee of each refund"),
        required=False,
        max_length=20,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("With its currency, such as 0.10 USD."),
    )

    class Meta:
        model = ProcessorAccount
        fields = (
            "slug", "processor", "mode", "base_url", "currency", "is_active",
            "arrives_after_days", "arrives_within_days",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        account = self.instance
        if account.fee_basis_points:
            self.initial["fee"] = f"{Decimal(account.fee_basis_points) / 100:.2f}"
        if account.refund_fee_minor:
            fee = Money(account.refund_fee_minor, account.refund_fee_currency)
            self.initial["refund_fee"] = str(fee)

    def clean_fee(self) -> int:
        """In hundredths of a percent."""
        whole, _dot, fraction = (self.cleaned_data["fee"] or "0").partition(".")
        return int(whole + fraction.ljust(2, "0"))

    def clean_refund_fee(self) -> Money | None:
        text: str = self.cleaned_data["refund_fee"]
        amount, _blank, currency = text.partition(" ")
        try:
            return parse_amount(amount, currency) if text else None
        except InvalidAmount:
            raise forms.ValidationError(
                _("Enter an amount and its currency, such as 0.10 USD, or nothing.")
            ) from None

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        first, last = values.get("arrives_after_days"), values.get("arrives_within_days")
        if first is not None and (last is None or first > last):
            self.add_error("arrives_within_days", _("Enter at least as many days as before it."))
        fee: Money | None = values.get("refund_fee")
        self.instance.fee_basis_points = values.get("fee", 0)
        self.instance.refund_fee_minor = fee.minor if fee else 0
        self.instance.refund_fee_currency = fee.currency if fee else ""
        return values

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # puts the other fields into the instance
        if self.errors:
            return
        typed = {
            name: self.cleaned_data[field]
            for field, (processor, name) in self.credential_fields.items()
            if processor == self.instance.processor and self.cleaned_data[field]
        }
        try:
            change_credentials(self.instance, typed)
            open_gateway(self.instance)
        except CredentialsMissing as error:
            self._ask_for(error.names)
        except Misconfigured as error:
            self.add_error(None, str(error))

    def _ask_for(self, names: Iterable[str]) -> None:
        """Say at the field of each of these credentials that it has to be filled in."""
        fields = {of: field for field, of in self.credential_fields.items()}
        for name in names:
            sentence = _("Fill in %s: without it the account cannot be called.") % name
            self.add_error(fields[self.instance.processor, name], sentence)


def credential_fields(account: ProcessorAccount | None) -> dict[str, tuple[str, str]]:
    """Field name → (processor, credential): of the account, or of all processors for a new one."""
    if account:
        return {name: (account.processor, name) for name in credential_names(account.processor)}
    return {
        f"{processor}_{name}": (processor, name)
        for processor in Processor.values
        for name in credential_names(processor)
    }


def form_for(account: ProcessorAccount | None) -> type[AccountForm]:
    """The form with one password field for each credential."""
    fields = credential_fields(account)
    hints = _hints(account) if account else {}
    declared: dict[str, Any] = {
        field: forms.CharField(
            label=name,
            required=False,
            max_length=1000,
            widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
            help_text=_("Set: %s. Leave empty to keep it.") % hints[name]
            if name in hints
            else _("Not set."),
        )
        for field, (_processor, name) in fields.items()
    }
    return type("AccountForm", (AccountForm,), declared | {"credential_fields": fields})


def _hints(account: ProcessorAccount) -> dict[str, str]:
    try:
        return credential_hints(account)
    except Misconfigured:
        return {}  # no key opens them: all have to be entered again
