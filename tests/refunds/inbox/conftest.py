"""Two people at the inbox: one who asks for refunds and one who approves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client


@pytest.fixture
def agent(db) -> User:
    from tests.rest import make_person

    return make_person("agent", first_name="Ana", last_name="Lup")


@pytest.fixture
def approver(db) -> User:
    from tests.rest import make_person

    return make_person("approver", first_name="Ion", last_name="Rusu")


@pytest.fixture
def browser(agent) -> Client:
    """Signed in as the agent."""
    from tests.pages import client_of

    return client_of(agent)


@pytest.fixture
def second(approver) -> Client:
    """Signed in as the approver."""
    from tests.pages import client_of

    return client_of(approver)
