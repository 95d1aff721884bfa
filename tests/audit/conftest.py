from __future__ import annotations

import pytest


@pytest.fixture
def person(db):
    from django.contrib.auth.models import User

    return User.objects.create_user("mihaela", first_name="Mihaela")
