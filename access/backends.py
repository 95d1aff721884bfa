"""How a session becomes a person: Django's own way, with what the person has set up beside it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User


class ProfileBackend(ModelBackend):
    """Reads the profile in the query that reads the person: no page costs one more."""

    def get_user(self, user_id: Any) -> User | None:
        person = User.objects.select_related("profile").filter(pk=user_id).first()
        return person if person and self.user_can_authenticate(person) else None
