"""Settings that would let money go the wrong way."""

import pytest
from django.core.checks import run_checks

from gateways.models import ProcessorAccount


def errors() -> set[str]:
    found = run_checks(databases=["default"])
    return {message.id for message in found if message.id.startswith("gateways.")}


@pytest.mark.django_db
def test_debug_and_live_accounts_do_not_go_together(settings):
    settings.DEBUG = True
    account = ProcessorAccount.objects.create(slug="tried", processor="stripe", mode="test")
    assert errors() == set()
    account.mode = "live"
    account.save()
    assert errors() == {"gateways.E002"}
    settings.ALLOW_LIVE_WITH_DEBUG = True
    assert errors() == set()
    settings.ALLOW_LIVE_WITH_DEBUG = False
    account.is_active = False
    account.save()
    assert errors() == set()
    account.is_active = True
    account.save()
    settings.DEBUG = False
    assert errors() == set()
