"""The secrets of second factors move to the first key with the credentials of accounts."""

from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import decrypt, encrypt
from django.core.management import call_command

from audit.models import AuditEntry
from gateways.envelopes import key_id_of, key_ids
from gateways.errors import Misconfigured
from tests.rest import make_person

pytestmark = pytest.mark.django_db

OLD, NEW = "the old key, which is long enough", "the new key, which is long enough"
SECRET = "JBSWY3DPEHPK3PXP"


@pytest.fixture
def factor(settings):
    settings.CREDENTIALS_KEYS = [OLD]
    data = {"secret": encrypt(SECRET)}
    factor = Authenticator.objects.create(
        user=make_person("agent"), type=Authenticator.Type.TOTP, data=data
    )
    settings.CREDENTIALS_KEYS = [NEW, OLD]
    return factor


def rotate(*options: str) -> str:
    out = StringIO()
    call_command("rotate_credentials", *options, stdout=out)
    return out.getvalue()


def test_they_rest_sealed(factor):
    assert SECRET not in factor.data["secret"]
    assert decrypt(factor.data["secret"]) == SECRET


@pytest.mark.parametrize("options", [[], ["--new-data-keys"]])
def test_they_move_and_the_old_key_can_go(factor, settings, options):
    said = rotate(*options)
    assert "1 renewed, 0 kept" in said
    assert "The other keys can be dropped." in said
    factor.refresh_from_db()
    assert key_id_of(factor.data["secret"]) == key_ids()[0]
    settings.CREDENTIALS_KEYS = [NEW]
    assert decrypt(factor.data["secret"]) == SECRET
    assert AuditEntry.objects.filter(kind="account.credentials_rotated").count() == 1
    assert "0 renewed, 1 kept" in rotate()


def test_a_dry_run_changes_nothing(factor):
    before = factor.data["secret"]
    assert "would be renewed" in rotate("--dry-run")
    factor.refresh_from_db()
    assert factor.data["secret"] == before


def test_what_no_key_opens_is_named_and_stays(factor, settings):
    settings.CREDENTIALS_KEYS = [NEW]
    with pytest.raises(SystemExit):
        rotate()
    with pytest.raises(Misconfigured):
        decrypt(factor.data["secret"])
