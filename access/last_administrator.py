"""Somebody who may change people stays: else nobody could let anybody in any more, or out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.log import take_turn

if TYPE_CHECKING:
    from collections.abc import Collection


def ensure_other_than(person: User) -> None:
    """Raise ValidationError where nobody but this person may change people.

    For the transaction of the change: of two who do it to each other at once the other one waits.
    """
    take_turn()
    if not _who_may(Group.objects.all()).exclude(pk=person.pk).exists():
        raise ValidationError(_refusal())


def ensure_without(groups: Collection[Group]) -> None:
    """Raise ValidationError where nobody may change people but by one of these groups."""
    take_turn()
    if not _who_may(Group.objects.exclude(pk__in=[group.pk for group in groups])).exists():
        raise ValidationError(_refusal())


def lets(permissions: QuerySet[Permission]) -> bool:
    """Whether the right to change people is among these permissions."""
    return (permissions & _right()).exists()


def _who_may(groups: QuerySet[Group]) -> QuerySet[User]:
    """Who may come in and change people: superusers, by a permission of their own, or by a group.

    A role for a single account lets nobody change people.
    """
    ways = Q(is_superuser=True) | Q(user_permissions__in=_right())
    ways |= Q(groups__in=groups.filter(permissions__in=_right()))
    return User.objects.filter(ways, is_active=True, is_staff=True)


def _right() -> QuerySet[Permission]:
    return Permission.objects.filter(content_type__app_label="auth", codename="change_user")


def _refusal() -> str:
    return _("Nobody would be left who may change people. Give somebody else that right first.")
