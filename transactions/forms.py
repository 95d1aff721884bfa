"""What staff type about transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from gateways.validators import RefusesCardNumbers

from .columns import Column
from .models import Customer, SavedView
from .text import clean

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _ModelForm = forms.ModelForm[Customer]
else:
    _ModelForm = forms.ModelForm


class NoteForm(RefusesCardNumbers, forms.Form):
    """A note on a transaction."""

    text = forms.CharField(
        label=_("Note"),
        max_length=5000,
        error_messages={"required": _("Write something first.")},
        widget=forms.Textarea(
            attrs={"rows": 2, "placeholder": _("Write a note for your colleagues")}
        ),
    )

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"]
        if not clean(text, 1):
            raise forms.ValidationError(_("Write something that can be seen."))
        return text


class ExchangeForm(RefusesCardNumbers, forms.Form):
    """What names the payment for the replacement: :mod:`.exchanges` looks for it."""

    payment = forms.CharField(max_length=320, required=False)


class SavedViewForm(RefusesCardNumbers, forms.Form):
    """A name for what the table shows; sharing is offered to who may."""

    name = forms.CharField(label=_("Name"), max_length=SavedView.NAME_LENGTH)
    is_shared = forms.BooleanField(label=_("Everybody sees it"), required=False)

    def __init__(self, *args: Any, may_share: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_share:
            del self.fields["is_shared"]

    def clean_name(self) -> str:
        name = clean(self.cleaned_data["name"], 60)
        if not name:
            raise forms.ValidationError(_("Write a name that can be seen."))
        return name


class ColumnsForm(RefusesCardNumbers, forms.Form):
    columns = forms.MultipleChoiceField(
        label=_("Columns"),
        choices=Column.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )


class CustomerForm(RefusesCardNumbers, _ModelForm):
    """What staff know of a customer and no processor says."""

    locale = forms.ChoiceField(
        label=_("Language"), choices=[("", _("Not known")), *settings.LANGUAGES], required=False
    )

    class Meta:
        model = Customer
        fields = ("is_vip", "locale")


class MergeForm(RefusesCardNumbers, forms.Form):
    """The other address of a customer; ``cleaned_data["email"]`` is that Customer."""

    email = forms.CharField(
        label=_("E-mail"),
        max_length=320,
        error_messages={"required": _("Enter the other e-mail.")},
    )

    def clean_email(self) -> Customer:
        email = clean(self.cleaned_data["email"], 320).lower()
        found = Customer.objects.filter(email=email).first()
        if found is None:
            raise forms.ValidationError(_("No customer has the e-mail %s.") % email)
        return found
