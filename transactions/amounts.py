"""Why an amount was refused, in a sentence. The form, the API and the CSV import say the same."""

from __future__ import annotations

from django.utils import formats
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gateways.money import InvalidAmount

_SENTENCES = {
    "empty": _("Enter an amount."),
    "not_text": _('Write the amount as text in quotation marks, such as "12.50".'),
    "not_a_number": _("Enter the amount with digits and a dot only, such as 12.50."),
    "not_positive": _("The amount must be more than zero."),
    "too_large": _("The amount is larger than any payment can be."),
    "unknown_currency": _("%(currency)s is not a currency code such as EUR."),
}


def localize(major: str) -> str:
    """An amount as the reader writes it: with a decimal comma, where that is the custom."""
    return major.replace(".", formats.get_format("DECIMAL_SEPARATOR"))


def delocalize(typed: str) -> str:
    """What was typed, with a dot in the place of the reader's decimal comma."""
    is_comma = formats.get_format("DECIMAL_SEPARATOR") == ","
    return typed.replace(",", ".", 1) if is_comma and "." not in typed else typed


def explain(error: InvalidAmount) -> str:
    """The sentence for an amount that ``gateways.money`` refused, in the reader's language."""
    if error.code == "too_many_decimals":
        return _explain_decimals(str(error.params["currency"]), int(error.params["decimals"]))
    return str(_SENTENCES[error.code]) % error.params


def _explain_decimals(currency: str, decimals: int) -> str:
    if not decimals:
        return gettext("%(currency)s has no decimals here: write a whole number, such as 1500.") % {
            "currency": currency
        }
    return gettext(
        "%(currency)s has %(decimals)d decimals here: write, for example, %(example)s."
    ) % {
        "currency": currency,
        "decimals": decimals,
        "example": "12.5".ljust(3 + decimals, "0"),
    }
