"""A key that second factors hang on is not dropped: nobody with one could sign in any more."""

import pytest
from allauth.mfa.models import Authenticator

from access import factor_secrets
from gateways.checks import check_keys_in_use
from tests.rest import make_person

pytestmark = pytest.mark.django_db


def test_the_check_names_keys_that_second_factors_hang_on(settings):
    old = settings.CREDENTIALS_KEYS[0]
    Authenticator.objects.create(
        user=make_person("agent"), type="totp", data={"secret": factor_secrets.seal("ABC")}
    )
    settings.CREDENTIALS_KEYS = ["another key of thirty characters", old]
    assert [each.id for each in check_keys_in_use(["default"])] == ["gateways.W002"]


def test_the_secret_of_one_person_does_not_open_for_another():
    """As credentials do: copied onto another row it does not open (gateways/envelopes.py)."""
    from gateways.errors import Misconfigured

    person, other = make_person("agent"), make_person("agent")
    for each, secret in ((person, "AAAABBBBCCCCDDDD"), (other, "EEEEFFFFGGGGHHHH")):
        Authenticator.objects.create(
            user=each, type="totp", data={"secret": factor_secrets.seal(secret)}
        )
    mine = Authenticator.objects.get(user=person)
    Authenticator.objects.filter(user=other).update(data=mine.data)
    with pytest.raises(Misconfigured):
        Authenticator.objects.get(user=other).wrap().validate_code("000000")
