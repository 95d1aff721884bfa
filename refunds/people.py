"""Who counts as one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def are_one_person(one: User, other: User) -> bool:
    """Two accounts with one e-mail address are one person, as far as we can tell."""
    address = one.email.strip().casefold()
    return one.pk == other.pk or bool(address and address == other.email.strip().casefold())
