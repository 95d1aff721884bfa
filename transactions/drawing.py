"""What the lines of the table are drawn with: Jinja2, for there are so many of them (ADR 24)."""

from __future__ import annotations

from typing import Any, cast

from django.template.defaultfilters import truncatechars
from django.urls import reverse
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext, npgettext, pgettext
from jinja2 import Environment

from .templatetags import desk


def environment(**options: Any) -> Environment:
    """The templates of ``templates/jinja2``, with the filters that the other templates know."""
    made: Any = Environment(extensions=["jinja2.ext.i18n"], **options)  # noqa: S701  Django escapes
    made.install_gettext_callables(  # which the extension has added
        gettext, ngettext, newstyle=True, pgettext=pgettext, npgettext=npgettext
    )
    made.globals["url"] = lambda name, *args: reverse(name, args=args)
    shown = (desk.amount, desk.badge, desk.day, desk.instrument, desk.wallet)
    made.filters |= {each.__name__: each for each in (*shown, localtime, truncatechars)}
    return cast(Environment, made)
