"""The secrets of second factors move to the first key with the credentials of accounts."""

from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import decrypt
from django.core.exceptions import ValidationError
from django.core.management import call_command

from audit.models import AuditEntry
from gateways.envelopes import key_id_of, key_ids, seal
from tests.pages import visible
from tests.rest import make_person

from .doors import PROVE, SECOND_STEP, SECURITY, add_app, age, is_in, log_in, totp, with_app

pytestmark = pytest.mark.django_db

OLD, NEW = "the old key, which is long enough", "the new key, which is long enough"
SECRET = "JBSWY3DPEHPK3PXP"


@pytest.fixture
def factor(settings):
    settings.CREDENTIALS_KEYS = [OLD]
    factor = make_factor()
    settings.CREDENTIALS_KEYS = [NEW, OLD]
    return factor


def make_factor():
    return Authenticator.objects.create(
        user=make_person("agent"), type=Authenticator.Type.TOTP, data={"secret": SECRET}
    )


def copy(source, target):
    """As somebody does who may write to the database, and does not have the keys."""
    Authenticator.objects.filter(pk=target.pk).update(
        data=Authenticator.objects.values_list("data", flat=True).get(pk=source.pk)
    )


def rotate(*options: str) -> str:
    out = StringIO()
    call_command("rotate_credentials", *options, stdout=out)
    return out.getvalue()


def test_they_rest_sealed(factor):
    [stored] = Authenticator.objects.values_list("data", flat=True)
    assert SECRET not in str(stored)
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
    with pytest.raises(ValidationError, match="cannot be read any more"):
        decrypt(factor.data["secret"])


@pytest.mark.parametrize("options", [[], ["--new-data-keys"]])
def test_one_that_was_copied_from_somebody_else_is_named_and_stays(factor, options):
    other = make_factor()
    copy(factor, other)
    out, told = StringIO(), StringIO()
    with pytest.raises(SystemExit):
        call_command("rotate_credentials", *options, stdout=out, stderr=told)
    assert f"second factor {other.pk}: The stored secret cannot be decrypted" in told.getvalue()
    assert "1 renewed, 0 kept" in out.getvalue()
    other.refresh_from_db()
    with pytest.raises(ValidationError):
        decrypt(other.data["secret"])


def test_it_opens_however_its_row_is_read(factor):
    later = Authenticator.objects.defer("data", "user").get()
    assert decrypt(later.data["secret"]) == SECRET
    later.record_usage()
    later.refresh_from_db()
    later.save()
    assert decrypt(Authenticator.objects.get().data["secret"]) == SECRET


def test_a_seal_without_its_row_opens_nothing(factor):
    [stored] = Authenticator.objects.values_list("data", flat=True)
    with pytest.raises(ValidationError):
        decrypt(stored["secret"])


def test_what_was_sealed_for_nobody_does_not_open(factor):
    Authenticator.objects.update(data={"secret": seal(SECRET, "second factor")})
    with pytest.raises(ValidationError):
        decrypt(Authenticator.objects.get().data["secret"])


class TestCopied:
    """Whoever writes to the database puts the secrets of their own factors at somebody else's."""

    @pytest.fixture
    def codes(self, client):
        """What an app and the recovery codes of another person say, copied to the victim's rows."""
        _mine, secret, codes = with_app(client)
        self.victim, *_theirs = with_app(client)
        for mine in Authenticator.objects.exclude(user=self.victim):
            copy(mine, Authenticator.objects.get(user=self.victim, type=mine.type))
        return [totp(secret, steps=1), codes[0]]

    @pytest.mark.parametrize("which", [0, 1])
    def test_they_open_no_door(self, client, codes, which):
        log_in(client, self.victim.username)
        answer = client.post(SECOND_STEP, {"code": codes[which]})
        assert not is_in(client)
        assert "Have an administrator remove it, then set it up anew." in visible(answer)

    @pytest.mark.parametrize("which", [0, 1])
    def test_they_prove_nothing(self, client, codes, which):
        client.force_login(self.victim)
        age(client, proved_at=301)
        assert "set it up anew" in visible(client.post(PROVE, {"code": codes[which]}))
        assert client.get(f"{SECURITY}codes/")["Location"].startswith(PROVE)

    def test_the_pages_of_the_victim_go_on(self, client, codes):
        client.force_login(self.victim)
        assert "0 codes are left" in visible(client.get(SECURITY))
        assert "set it up anew" in visible(client.get(f"{SECURITY}codes/", follow=True))
        client.post(f"{SECURITY}app/remove/")
        add_app(client)
        assert "10 codes are left" in visible(client.get(SECURITY))
