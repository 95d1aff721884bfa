"""How a session becomes a person, and what that person may do."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission, User
from django.db.models import Exists, OuterRef, Q, QuerySet

from .rights import account_of, rights_of


class ProfileBackend(ModelBackend):
    """Django's own, with the profile of a person beside them and with rights per account."""

    def get_user(self, user_id: Any) -> User | None:
        """Reads the profile in the query that reads the person: no page costs one more."""
        person = User.objects.select_related("profile").filter(pk=user_id).first()
        return person if person and self.user_can_authenticate(person) else None

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """For every account, or for that of an object."""
        if not user_obj.is_active or user_obj.is_anonymous:
            return set()
        rights = rights_of(user_obj)
        return set(rights.everywhere if obj is None else rights.at(account_of(obj)))

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """For some account: a list shows what there is for it."""
        if not user_obj.is_active or user_obj.is_anonymous:
            return False
        somewhere = rights_of(user_obj).somewhere
        return any(name.startswith(f"{app_label}.") for name in somewhere)

    def with_perm(
        self,
        perm: Any,
        is_active: bool | None = True,
        include_superusers: bool = True,
        obj: Any = None,
    ) -> QuerySet[User]:
        """Who has the permission for every account, or for that of an object."""
        app, _dot, codename = perm.partition(".")
        holds = Q(user=OuterRef("pk")) | Q(group__user=OuterRef("pk"))
        if obj is not None:
            roles = "group__account_roles"
            holds |= Q(**{f"{roles}__user": OuterRef("pk"), f"{roles}__account": account_of(obj)})
        held = Permission.objects.filter(holds, codename=codename, content_type__app_label=app)
        found = Q(Exists(held))
        if include_superusers:
            found |= Q(is_superuser=True)
        people = User.objects.filter(found)
        return people if is_active is None else people.filter(is_active=is_active)
