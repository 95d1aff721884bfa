"""What a manager fills in to make a campaign."""

from __future__ import annotations

from typing import Any, BinaryIO
from urllib.parse import unquote_plus

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.card_numbers import holds_card_number
from gateways.validators import RefusesCardNumbers, refuse_card_number
from refunds.models import RefundReason
from transactions.csv_file import CsvFile, LineError, UnreadableFile
from transactions.filters import read_bound
from transactions.text import clean

from .models import Campaign
from .preparing import MOST_ITEMS
from .services import Named

_L = gettext_lazy
# The lines of a file that cannot be read and are told.
_SHOWN = 5
_ALL = "all"  # of a file without amounts


class CampaignForm(RefusesCardNumbers, forms.Form):
    """``cleaned_data["file"]`` are the lines of the file, ``most_money`` is in thousandths."""

    name = forms.CharField(label=_L("Name"), max_length=100)
    file = forms.FileField(
        label=_L("CSV file"),
        help_text=_L("With a column payment, and one named amount if not all is meant."),
        required=False,
    )
    percent = forms.IntegerField(
        label=_L("Percent of what was paid"),
        help_text=_L("Never more than what is left."),
        min_value=1,
        max_value=100,
        initial=100,
    )
    reason = forms.ModelChoiceField(
        RefundReason.objects.filter(is_active=True),
        label=_L("Reason"),
        empty_label=_L("Choose a reason"),
    )
    note = forms.CharField(
        label=_L("Internal note"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    words = forms.CharField(
        label=_L("Words for the customers"),
        help_text=_L("The same for all of them."),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    most_refunds = forms.IntegerField(
        label=_L("At most so many refunds"), min_value=1, max_value=MOST_ITEMS
    )
    most_money = forms.CharField(
        label=_L("At most so much of each currency"),
        help_text=_L("Such as 5000 or 5000.00. If the dry run comes to more, nothing is sent."),
        max_length=20,
    )

    def __init__(self, query: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.query = query
        if query:
            del self.fields["file"]
        else:
            self.fields["file"].required = True

    def clean(self) -> dict[str, Any]:
        refuse_card_number(unquote_plus(self.query))
        return self.cleaned_data

    def clean_name(self) -> str:
        return self._text("name", 100)

    def clean_most_money(self) -> int:
        try:
            return read_bound(self.cleaned_data["most_money"])
        except ValueError:
            raise forms.ValidationError(_("Enter an amount such as 5000.00.")) from None

    def clean_file(self) -> list[Named]:
        return _read(self.cleaned_data["file"])

    def campaign(self) -> Campaign:
        """The campaign of a valid form."""
        values = {name: value for name, value in self.cleaned_data.items() if name != "file"}
        return Campaign(query=self.query, **values)

    def _text(self, name: str, size: int) -> str:
        text = clean(self.cleaned_data[name], size)
        if not text:
            raise forms.ValidationError(_("Write something that can be seen."))
        return text


def _read(upload: BinaryIO) -> list[Named]:
    """The lines of a file. Raises ValidationError with the first that cannot be read."""
    lines, errors = [], []
    try:
        for record in CsvFile(upload, required={"payment"}, optional={"amount"}).records():
            if isinstance(record, LineError):
                errors.append(record)
            elif not (name := clean(record.values["payment"], 100)):
                errors.append(LineError(record.line, _("It names no payment.")))
            elif holds_card_number(name) or holds_card_number(
                record.values.get("amount", "")[:100]
            ):
                errors.append(LineError(record.line, _("It names a card, and no payment.")))
            elif not (amount := clean(record.values.get("amount", _ALL), 30)):
                errors.append(LineError(record.line, _("Its amount is empty.")))
            else:
                lines.append(Named(name, amount.removeprefix(_ALL)))
    except UnreadableFile as unreadable:
        errors += unreadable.errors
    if len(lines) > MOST_ITEMS:
        errors.append(LineError(0, _("The file has more than %d rows. Split it.") % MOST_ITEMS))
    if not (lines or errors):
        errors.append(LineError(0, _("The file names no payment.")))
    if errors:
        raise forms.ValidationError([str(each) for each in errors[:_SHOWN]])
    return lines
