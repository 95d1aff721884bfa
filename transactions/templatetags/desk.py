"""What the pages of the staff site share: amounts, badges, and how somebody paid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django import template
from django.db.models import Model
from django.template import Context
from django.template.loader import render_to_string
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from access.rights import may_somewhere
from gateways.money import Money
from transactions.badges import Badge
from transactions.columns import drawn_with
from transactions.methods import METHODS, brand_name, wallet_name
from transactions.models import Transaction
from transactions.retelling import retell

if TYPE_CHECKING:  # the table draws itself with these
    from transactions.table import Row

register = template.Library()


@register.simple_tag(takes_context=True)
def may(context: Context, right: str, about: Model | None = None) -> bool:
    """Whether who reads the page has the right for the account of an object, or for any account."""
    person = context["request"].user
    return person.has_perm(right, about) if about else may_somewhere(person, right)


@register.filter
def amount(money: Money) -> SafeString:
    """The amount with a gap per three digits that is only drawn: what is copied can be typed."""
    whole, point, fraction = money.major().partition(".")
    head = len(whole) % 3 or 3
    groups = [whole[:head], *(whole[at : at + 3] for at in range(head, len(whole), 3))]
    return format_html(
        '<span class="amount">{}{}{} <span class="currency">{}</span></span>',
        format_html_join("", '<span class="digits">{}</span>', ((group,) for group in groups)),
        formats.get_format("DECIMAL_SEPARATOR") if point else "",
        fraction,
        money.currency,
    )


register.filter("retold", retell)


@register.simple_tag
def badge(shown: Badge) -> SafeString:
    return format_html(
        '<span class="badge badge-{}" title="{}">{}</span>', shown.tone, shown.title, shown.label
    )


@register.filter
def day(at: datetime) -> str:
    """The day, with its year unless that is this one."""
    at = timezone.localtime(at)
    this_year = at.year == timezone.localdate().year
    return formats.date_format(at, "j M" if this_year else "j M Y")


@register.filter
def waiting(since: datetime) -> str:
    """How long something has waited, in its largest unit: ``3 hours``."""
    passed = timezone.now() - since
    return timesince(since, depth=1) if passed.total_seconds() >= 60 else _("a moment")


@register.filter
def instrument(transaction: Transaction) -> str:
    """The card or account that paid: ``Visa •••• 4242``."""
    name = brand_name(transaction.brand) or wallet_name(transaction.wallet)
    name = name or str(METHODS.get(transaction.method_type, METHODS["other"]))
    return f"{name} •••• {transaction.last4}" if transaction.last4 else name


@register.filter
def wallet(transaction: Transaction) -> str:
    """The wallet that the card was in, such as Apple Pay; empty without one."""
    return wallet_name(transaction.wallet)


@register.simple_tag(takes_context=True)
def payments(context: Context, rows: Sequence[Row]) -> SafeString:
    """The table of transactions with these lines, as the person who looks has it."""
    request = context["request"]
    shown = {"rows": rows} | drawn_with(request)
    return SafeString(render_to_string("transactions/_table.jinja", shown, request, using="jinja2"))
