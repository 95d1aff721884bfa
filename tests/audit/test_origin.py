"""From where something was done, as the log tells it."""

import pytest

from audit.models import AuditEntry
from tests.rest import make_person

pytestmark = pytest.mark.django_db


def test_behind_a_proxy_it_is_the_address_that_the_lock_out_counts(client, settings):
    """Else every entry has the address of the proxy, and tells nothing."""
    settings.TRUSTED_PROXY_COUNT = 1
    person = make_person("agent")
    client.post(
        "/admin/login/",
        {"username": person.username, "password": "not a secret"},
        headers={"X-Forwarded-For": "198.51.100.7, 203.0.113.9"},
    )
    entry = AuditEntry.objects.get(kind="sign_in.succeeded")
    assert entry.address == "203.0.113.9"
