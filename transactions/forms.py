"""What staff type on a transaction's page."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from .text import holds_card_number


def refuse_card_number(text: str) -> None:
    """Raise ValidationError for text with something that passes for a card number."""
    if holds_card_number(text):
        raise forms.ValidationError(
            _("This looks like a card number. Take it out: card numbers are never kept here."),
            code="card_number",
        )


class NoteForm(forms.Form):
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
        refuse_card_number(text)
        return text
