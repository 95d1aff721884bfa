"""What staff type: in the refund dialog it becomes money, about a case it becomes evidence.

What cannot be used comes back with a sentence that says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gateways.money import InvalidAmount, Money, parse_amount
from gateways.validators import RefusesCardNumbers
from transactions.amounts import delocalize, explain
from transactions.models import Transaction

from .approvals import shown
from .cases import NOTE_LENGTH
from .models import Attention, RefundReason, Ruling

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _ReasonForm = forms.ModelForm[RefundReason]
else:
    _ReasonForm = forms.ModelForm


class RefundForm(RefusesCardNumbers, forms.Form):
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
    words = forms.CharField(
        label=_("Words for the customer"),
        help_text=_("What the customer may read of this refund."),
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
        for name in ("reason", "note", "words"):
            self.fields[name].widget.attrs["aria-describedby"] = f"refund-{name}-error"

    def clean_amount(self) -> Money:
        return read_amount(self.cleaned_data["amount"], self.transaction)

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
        refusal = forms.ValidationError(sentence, code=code)
        self.add_error(self.FIELD_OF_REFUSAL.get(code), refusal)


if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _PersonField = forms.ModelChoiceField[User]
else:
    _PersonField = forms.ModelChoiceField


class EraseForm(RefusesCardNumbers, forms.Form):
    """That somebody means it."""

    confirmed = forms.BooleanField(
        label=_("Erase this customer for good"),
        error_messages={"required": _("Tick the box if you mean it.")},
    )


class ReasonForm(RefusesCardNumbers, _ReasonForm):
    """A reason on a page of its own."""


class ReasonLineForm(ReasonForm):
    """One reason in their list; its fields bear their names, as no label stands beside them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = f"{self.instance}: {field.label}"


class CaseForm(RefusesCardNumbers, forms.Form):
    """What is typed about a case."""

    def __init__(self, case: Attention, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.case = case
        for name, field in self.fields.items():
            described = [f"case-{name}-error"] + [f"case-{name}-help"] * bool(field.help_text)
            field.widget.attrs["aria-describedby"] = " ".join(described)
        # After errors the first field with one is focused.
        shown = self.visible_fields()
        if shown and not self.is_bound:
            shown[0].field.widget.attrs["autofocus"] = True

    def renewed(self) -> CaseForm:
        """What is shown next: this form, with what was typed into it and what is wrong with it."""
        return self


class EvidenceForm(CaseForm):
    """What somebody saw that tells what became of a refund."""

    evidence = forms.CharField(
        label=_("What did you see, and where?"),
        help_text=_("Your colleague checks this before confirming it."),
        max_length=2000,
        error_messages={"required": _("Say what you saw, and where.")},
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class MadeForm(EvidenceForm):
    """The evidence that a refund was made includes its id."""

    processor_refund_id = forms.CharField(
        label=_("The processor's id of the refund"),
        max_length=100,
        error_messages={"required": _("Enter the id that the processor shows.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    field_order = ("processor_refund_id", "evidence")


class RulingForm(CaseForm):
    """The ruling that the person saw, whatever was proposed since."""

    ruling = forms.ModelChoiceField(
        Ruling.objects.none(),
        widget=forms.HiddenInput,
        error_messages={
            "invalid_choice": _("This proposal is no longer there. Look at the case again.")
        },
    )

    def __init__(self, case: Attention, *args: Any, **kwargs: Any) -> None:
        super().__init__(case, *args, **kwargs)
        rulings = Ruling.objects.filter(refund=case.refund_id).select_related("refund")
        choice = self.fields["ruling"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = rulings
        self.initial["ruling"] = rulings.open().first()

    def renewed(self) -> CaseForm:
        """The form for the ruling that the page shows now; its errors are of the one before."""
        shown = self.initial["ruling"]
        if self.errors:
            self.data = {"ruling": shown.pk if shown else ""}
        return self


class SeenForm(RefusesCardNumbers, forms.Form):
    """What the person saw of a refund, so that nothing else is approved."""

    seen = forms.CharField(
        max_length=64,
        widget=forms.HiddenInput,
        error_messages={"required": _("Look at the refund first, then decide.")},
    )


class ApproveForm(SeenForm, CaseForm):
    """One press on the page of a case."""

    def __init__(self, case: Attention, *args: Any, **kwargs: Any) -> None:
        super().__init__(case, *args, **kwargs)
        self.initial["seen"] = shown(case.refund) if case.refund else ""

    def renewed(self) -> CaseForm:
        """The form for the refund as the page shows it now; its errors are of the one before."""
        if self.errors:
            self.data = {"seen": self.initial["seen"]}
        return self


class RejectForm(CaseForm):
    why = forms.CharField(
        label=_("Why not"),
        help_text=_("For who asked."),
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class AcceptForm(CaseForm):
    note = forms.CharField(
        label=_("Note"),
        help_text=_("What you found. It stays on the case."),
        required=False,
        max_length=NOTE_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class PersonField(_PersonField):
    def label_from_instance(self, obj: User) -> str:
        return obj.get_full_name() or obj.get_username()


class HandOverForm(CaseForm):
    """Everybody who may own a case."""

    to = PersonField(
        User.objects.none(),
        label=_("New owner"),
        empty_label=_("Choose a person"),
        error_messages={"required": _("Choose a person.")},
    )

    def __init__(self, case: Attention, *args: Any, **kwargs: Any) -> None:
        super().__init__(case, *args, **kwargs)
        able = Q()
        for right in ("refunds.request_refund", "refunds.approve_refund"):
            able |= Q(pk__in=User.objects.with_perm(right, obj=case).values("pk"))
        choice = self.fields["to"]
        assert isinstance(choice, forms.ModelChoiceField)
        people = User.objects.filter(able)
        choice.queryset = people.order_by("first_name", "last_name", "username")


_STALE = _("This form is incomplete. Close it and open it again.")


def read_amount(text: str, transaction: Transaction) -> Money:
    """The typed amount. Raises ValidationError with the sentence that says what is wrong."""
    try:
        return parse_amount(delocalize(text), transaction.currency)
    except InvalidAmount as error:
        raise forms.ValidationError(explain(error), code=error.code) from None
