"""A key that second factors hang on is not dropped: nobody with one could sign in any more."""

import pytest
from allauth.mfa.models import Authenticator

from access.checks import check_factor_keys
from tests.rest import make_person

pytestmark = pytest.mark.django_db


def test_the_check_names_keys_that_second_factors_hang_on(settings):
    old = settings.CREDENTIALS_KEYS[0]
    Authenticator.objects.create(user=make_person("agent"), type="totp", data={"secret": "ABC"})
    settings.CREDENTIALS_KEYS = ["another key of thirty characters", old]
    assert [each.id for each in check_factor_keys(["default"])] == ["access.W001"]
