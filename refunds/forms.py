"""The refund dialog: what was typed becomes money, or a sentence that says what is wrong."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gateways.money import InvalidAmount, Money, parse_amount
from transactions.amounts import explain
from transactions.forms import refuse_card_number
from transactions.models import Transaction

from .models import RefundReason


class RefundForm(forms.Form):
    """The dialog. ``cleaned_data`` has ``amount`` and ``expected_refundable`` as Money.

    ``token`` is the idempotency key, one per opened dialog; ``expected_refundable`` is what it
    showed as refundable.
    """

    amount = forms.CharField(
        label=_("Amount"),
        strip=False,  # a blank before the digits is refused, not guessed away
        max_length=500,
        error_messages={"required": _("Enter an amount.")},
    )
    reason = forms.ModelChoiceField(
        RefundReason.objects.filter(is_active=True),
        label=_("Reason"),
        empty_label=_("Choose a reason"),
        error_messages={"required": _("Choose a reason.")},
    )
    note = forms.CharField(
        label=_("Internal note"),
        help_text=_("For your colleagues. The customer never sees it."),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    token = forms.UUIDField(widget=forms.HiddenInput)
    expected_refundable = forms.CharField(widget=forms.HiddenInput, max_length=30)

    # Field of the form that a refusal of the service is about.
    FIELD_OF_REFUSAL: ClassVar[dict[str, str]] = {
        "exceeds_refundable": "amount",
        "balance_changed": "amount",
        "invalid_amount": "amount",
    }

    def __init__(self, transaction: Transaction, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.transaction = transaction
        for name in ("reason", "note"):
            self.fields[name].widget.attrs["aria-describedby"] = f"refund-{name}-error"

    def clean_amount(self) -> Money:
        return read_amount(self.cleaned_data["amount"], self.transaction)

    def clean_note(self) -> str:
        note: str = self.cleaned_data["note"]
        refuse_card_number(note)
        return note

    def clean_expected_refundable(self) -> Money:
        try:
            return parse_amount(self.cleaned_data["expected_refundable"], self.transaction.currency)
        except InvalidAmount:
            raise forms.ValidationError(_STALE, code="stale") from None

    def clean(self) -> dict[str, Any]:
        for name in self.fields:
            if isinstance(self.data, QueryDict) and len(self.data.getlist(name)) > 1:
                raise forms.ValidationError(
                    gettext("The form was sent with two values for “%s”. Send it again.") % name,
                    code="repeated",
                )
        if {"token", "expected_refundable"} & self.errors.keys():
            raise forms.ValidationError(_STALE, code="stale")
        return self.cleaned_data

    def refuse(self, code: str, sentence: str) -> None:
        """Show a refusal of the service next to the field that it is about."""
        self.add_error(self.FIELD_OF_REFUSAL.get(code), sentence)


_STALE = _("This form is incomplete. Close it and open it again.")


def read_amount(text: str, transaction: Transaction) -> Money:
    """The typed amount. Raises ValidationError with the sentence that says what is wrong."""
    try:
        return parse_amount(text, transaction.currency)
    except InvalidAmount as error:
        raise forms.ValidationError(explain(error), code=error.code) from None
