"""Rotating the keys of credentials: beside traffic, again after a kill, and never half."""

import threading
from io import StringIO

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection

from gateways.accounts import change_credentials, credential_hints, save_account, store_account
from gateways.credentials import UNSEALED, credentials_of, key_id_of
from gateways.envelopes import key_ids
from gateways.errors import Misconfigured
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from gateways.rotation import Fate, keys_in_use, rotate_all
from tests.gateways.test_credentials import old_token

OLD, NEW = "the old key, which is long enough", "the new key, which is long enough"
KEY = "sk_test_a_long_secret_9876"


@pytest.fixture
def accounts(db, settings):
    """Five accounts on the old key, while the new one stands before it."""
    settings.CREDENTIALS_KEYS = [OLD]
    made = []
    for number in range(5):
        account = ProcessorAccount(slug=f"stripe-{number}", processor="stripe", mode="test")
        change_credentials(account, {"api_key": f"{KEY}{number}"})
        save_account(account)
        made.append(account)
    settings.CREDENTIALS_KEYS = [NEW, OLD]
    return made


def rotate(*options):
    """What the command says, and its exit status."""
    out, err = StringIO(), StringIO()
    try:
        call_command("rotate_credentials", *options, stdout=out, stderr=err)
    except SystemExit as ended:
        return out.getvalue() + err.getvalue(), ended.code
    return out.getvalue() + err.getvalue(), 0


def stored():
    return dict(ProcessorAccount.objects.values_list("slug", "encrypted_credentials"))


def test_every_account_moves_to_the_first_key_and_the_old_one_can_go(accounts, settings):
    said, status = rotate()
    assert status == 0
    assert "5 renewed, 0 kept" in said
    assert "The other keys can be dropped." in said
    settings.CREDENTIALS_KEYS = [NEW]
    for number, account in enumerate(ProcessorAccount.objects.order_by("slug")):
        assert credentials_of(account) == {"api_key": f"{KEY}{number}"}
    assert KEY not in said


def test_it_is_idempotent(accounts):
    rotate()
    before = stored()
    said, status = rotate()
    assert (status, stored()) == (0, before)
    assert "0 renewed, 5 kept" in said


def test_new_data_keys_renew_what_hangs_on_the_first_key_too(accounts):
    rotate()
    before = stored()
    said, _status = rotate("--new-data-keys")
    assert "5 renewed, 0 kept" in said
    after = stored()
    assert not any(after[slug].split(".")[3] == before[slug].split(".")[3] for slug in before)
    assert credentials_of(ProcessorAccount.objects.get(slug="stripe-3")) == {"api_key": f"{KEY}3"}


def test_a_dry_run_writes_nothing(accounts):
    before = stored()
    said, status = rotate("--dry-run")
    assert (status, stored()) == (0, before)
    assert "5 to renew" in said
    assert "do not drop it" in said


def test_killed_halfway_it_goes_on(accounts):
    run = rotate_all()
    assert [next(run).fate for _ in range(2)] == [Fate.RENEWED] * 2
    run.close()
    assert keys_in_use() == {key_ids()[0]: 2, key_ids()[1]: 3}
    said, _status = rotate()
    assert "3 renewed, 2 kept" in said


def test_tokens_of_earlier_versions_are_sealed(accounts):
    ProcessorAccount.objects.filter(slug="stripe-1").update(encrypted_credentials=old_token(OLD))
    assert keys_in_use()[UNSEALED] == 1
    said, _status = rotate("--dry-run")
    assert f"1 of them on key {UNSEALED}: do not drop it." in said
    said, status = rotate()
    assert status == 0
    assert f"stripe-1: renewed, was on key {UNSEALED}" in said
    assert set(keys_in_use()) == {key_ids()[0]}


def test_what_does_not_open_is_left_and_named_and_the_others_are_renewed(accounts, settings):
    copied = stored()["stripe-2"]
    ProcessorAccount.objects.filter(slug="stripe-4").update(encrypted_credentials=copied)
    ProcessorAccount.objects.filter(slug="stripe-0").update(encrypted_credentials="")
    said, status = rotate()
    assert status == 1
    assert "stripe-4: The stored secret cannot be decrypted" in said
    assert "belongs to another row" in said
    assert "3 renewed, 1 kept, 1 that do not open" in said
    assert "do not drop it" in said
    assert stored()["stripe-4"] == copied
    settings.CREDENTIALS_KEYS = ["neither of them, and long enough"]
    said, status = rotate()
    assert status == 1
    assert "hangs on key" in said


def test_a_form_that_was_read_before_a_rotation_does_not_undo_it(accounts):
    [read, *_others] = ProcessorAccount.objects.order_by("slug")
    rotate()
    read.currency = "EUR"
    store_account(read, actor=None)
    assert set(keys_in_use()) == {key_ids()[0]}
    assert ProcessorAccount.objects.get(pk=read.pk).currency == "EUR"


def test_the_list_and_a_check_say_what_hangs_on_another_key(accounts):
    out = StringIO()
    call_command("account", "list", stdout=out)
    assert out.getvalue().count(f"hangs on key {key_ids()[1]}, not on the first") == 5
    [found] = run_checks(tags=["database"], databases=["default"])
    assert found.id == "gateways.W002"
    assert f"5 accounts hang on key {key_ids()[1]}" in found.msg
    rotate()
    out = StringIO()
    call_command("account", "list", stdout=out)
    assert "hangs on" not in out.getvalue()
    assert not run_checks(tags=["database"], databases=["default"])


@pytest.mark.django_db(transaction=True)
def test_gateways_are_opened_all_the_while(accounts, settings):
    """Workers read either: whatever moment they look, the credentials open."""
    stop, opened, problems = threading.Event(), [], []

    def work():
        try:
            while not stop.is_set():
                for account in ProcessorAccount.objects.all():
                    open_gateway(account)
                    assert set(credential_hints(account)) == {"api_key"}
                    opened.append(key_id_of(account))
        except (Misconfigured, AssertionError) as error:
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _again in range(10):
            _said, status = rotate("--new-data-keys")
            assert status == 0
            settings.CREDENTIALS_KEYS = settings.CREDENTIALS_KEYS[::-1]
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=30)
    assert not problems
    assert set(opened) == set(key_ids())
