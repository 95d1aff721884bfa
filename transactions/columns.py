"""The columns of the transactions table that a person has chosen; the others are always there."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import TextChoices
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from access.scoping import has_only_test_accounts


class Column(TextChoices):
    """In the order in which they stand."""

    WHERE = "where", _("Processor")
    ID = "id", _("Processor's id")
    HOW = "how", _("Method")
    ORDER = "order", _("Order")
    ABOUT = "about", _("Description")
    LEFT = "left", _("Left")
    STATUS = "status", _("Status")


DEFAULT = frozenset({Column.WHERE, Column.HOW, Column.ORDER, Column.LEFT, Column.STATUS})


def chosen_by(user: User) -> frozenset[Column]:
    """What the person sees; unknown names, as of a later release, are passed over."""
    profile = getattr(user, "profile", None)
    if profile is None or profile.columns is None:
        return DEFAULT
    return frozenset(Column(name) for name in profile.columns if name in Column.values)


def drawn_with(request: HttpRequest) -> dict[str, Any]:
    """What the lines of the table are drawn with, besides their rows.

    Those of test accounts are marked beside real ones; where all are, the banner says so once.
    """
    user = request.user
    assert isinstance(user, User)
    return {"columns": chosen_by(user), "marks_test": not has_only_test_accounts(request)}
