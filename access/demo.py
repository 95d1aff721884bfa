"""The demo's people: one for every role, each with a token that may do what its person may."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import Group, User

from .models import ApiToken, Scope
from .roles import Role

_NAMES = {
    Role.VIEWER: ("Tom", "Baker"),
    Role.AGENT: ("Ana", "Popescu"),
    Role.APPROVER: ("Piotr", "Nowak"),
    Role.MANAGER: ("Irina", "Sokolova"),
    Role.ADMIN: ("Aisyah", "Rahman"),
    Role.AUDITOR: ("Marta", "Kowalska"),
}


def create_people() -> dict[str, dict[str, str]]:
    """Create the people with new passwords and tokens; ``{role: {username, password, api_token}}``.

    Called again, it gives the same people new passwords and tokens: neither can be read back.
    """
    return {role.value: _create_person(role) for role in Role}


def _create_person(role: Role) -> dict[str, str]:
    password = secrets.token_urlsafe(9)
    person, _created = User.objects.get_or_create(
        username=role.value, defaults={"email": f"{role.value}@example.com"}
    )
    person.first_name, person.last_name = _NAMES[role]
    person.is_staff = person.is_active = True
    person.set_password(password)
    person.save()
    person.groups.set([Group.objects.get(name=role.value)])
    token = ApiToken.objects.filter(name=f"demo-{role.value}").first()
    token = token or ApiToken(name=f"demo-{role.value}", user=person)
    token.user, token.scopes, token.revoked_at = person, Scope.values, None
    key = token.issue()
    token.save()
    return {"username": person.username, "password": password, "api_token": key}
