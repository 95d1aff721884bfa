import pytest

from audit.models import AuditEntry
from gateways.accounts import (
    change_credentials,
    check_account,
    credential_hints,
    credential_names,
    save_account,
)
from gateways.credentials import credentials_of
from gateways.demo import create_accounts
from gateways.errors import Misconfigured, NotSent
from gateways.models import Processor, ProcessorAccount

KEY = "sk_test_sandbox_main"


def make(**fields):
    values = {"slug": "stripe-main", "processor": "stripe", "mode": "test"}
    return ProcessorAccount(**values | fields)


def stored(account):
    return credentials_of(account)


def test_credentials_are_changed_one_by_one():
    account = make()
    change_credentials(account, {"api_key": KEY, "webhook_secret": "whsec_1"})
    first = account.credential_fingerprint
    change_credentials(account, {"webhook_secret": " whsec_2\n"})
    assert stored(account) == {"api_key": KEY, "webhook_secret": "whsec_2"}
    assert account.credential_fingerprint != first


def test_new_credentials_lift_a_pause_and_the_same_ones_do_not():
    account = make()
    change_credentials(account, {"api_key": KEY})
    account.paused_reason = "The key was revoked."
    change_credentials(account, {"api_key": KEY})
    assert account.paused_reason
    change_credentials(account, {"api_key": KEY + "2"})
    assert not account.paused_reason


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"api-key": KEY}, "Its credentials are: api_key, webhook_secret"),
        ({"client_id": "x", "api_key": KEY}, "no credential client_id"),
        ({"api_key": " "}, "The value of api_key is empty"),
    ],
)
def test_credentials_that_cannot_be_change_nothing(values, sentence):
    account = make()
    change_credentials(account, {"api_key": KEY})
    with pytest.raises(Misconfigured, match=sentence):
        change_credentials(account, values)
    assert stored(account) == {"api_key": KEY}


def test_when_the_key_is_lost_all_credentials_are_entered_again(settings):
    account = make()
    change_credentials(account, {"api_key": KEY, "webhook_secret": "whsec_1"})
    settings.CREDENTIALS_KEYS = ["a key that came too late for it"]
    with pytest.raises(Misconfigured, match="cannot be decrypted"):
        change_credentials(account, {"webhook_secret": "whsec_2"})
    change_credentials(account, {"api_key": KEY})
    assert stored(account) == {"api_key": KEY}


def test_hints_show_the_end_of_long_secrets_only():
    account = make(processor="paypal")
    change_credentials(account, {"client_id": "0123456789abcdef", "client_secret": "short"})
    assert credential_hints(account) == {"client_id": "…cdef", "client_secret": "…"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"slug": "Not a slug!"}, "slug: "),
        ({"currency": "usd"}, "currency: "),
        ({"base_url": "http://[::1"}, "base_url: "),
        ({"base_url": "https://evil.example.com"}, "may not be used"),
        ({"mode": "live"}, "mode live"),
        ({"processor": "square"}, "There is no processor|processor: "),
    ],
)
def test_an_account_that_could_not_be_called_is_not_saved(fields, sentence):
    account = make()
    for name, value in fields.items():
        setattr(account, name, value)
    with pytest.raises(Misconfigured, match=sentence):
        change_credentials(account, {"api_key": KEY})
        save_account(account)
    assert not ProcessorAccount.objects.exists()


@pytest.fixture
def accounts(sandbox, transactional_db):
    """The sandbox's accounts by name."""
    create_accounts(sandbox.url)
    return {account.slug: account for account in ProcessorAccount.objects.all()}


def test_the_demos_accounts_are_the_sandboxs(accounts, sandbox):
    assert list(accounts) == [
        "authorizenet-us", "nmi-main", "paypal-main", "stripe-japan", "stripe-main"
    ]  # fmt: skip
    for account in accounts.values():
        assert account.mode == "test"
        assert account.base_url == f"{sandbox.url}/{account.processor}"
        assert set(stored(account)) == set(credential_names(account.processor))
    assert {slug: account.currency for slug, account in accounts.items() if account.currency} == {
        "authorizenet-us": "USD",
        "nmi-main": "USD",
    }


def test_creating_the_demos_accounts_again_changes_nothing(accounts, sandbox):
    names = create_accounts(sandbox.url)
    assert sorted(names) == list(accounts)
    assert {a.slug: a.pk for a in ProcessorAccount.objects.all()} == {
        slug: account.pk for slug, account in accounts.items()
    }


@pytest.mark.parametrize("processor", Processor.values)
def test_a_processor_that_accepts_the_credentials_says_whose_they_are(accounts, processor):
    account = next(one for one in accounts.values() if one.processor == processor)
    account.paused_reason = "before"
    account.save()
    sentence = check_account(account)
    assert " accepts the " in sentence
    account.refresh_from_db()
    assert account.paused_reason == ""
    check_account(account)
    resumed = AuditEntry.objects.filter(kind="account.resumed")
    assert [(entry.account_id, entry.data) for entry in resumed] == [
        (account.pk, {"why": "before"})
    ]


@pytest.mark.parametrize(
    ("slug", "wrong"),
    [
        ("stripe-main", {"api_key": "sk_test_nobody_has_this_one"}),
        ("paypal-main", {"client_secret": "nobody-has-this-one"}),
        ("authorizenet-us", {"transaction_key": "nobodyhasthis1"}),
        ("nmi-main", {"security_key": "nobody-has-this-one"}),
    ],
)
def test_credentials_that_are_rejected_pause_the_account(accounts, slug, wrong):
    account = accounts[slug]
    change_credentials(account, wrong)
    save_account(account)
    with pytest.raises(NotSent) as caught:
        check_account(account)
    assert caught.value.reason == "credentials"
    assert not any(secret in str(caught.value) for secret in wrong.values())
    account.refresh_from_db()
    assert account.paused_reason == str(caught.value)
    with pytest.raises(NotSent):
        check_account(account)
    paused = AuditEntry.objects.get(kind="account.paused")
    assert paused.data == {"why": account.paused_reason}


def test_an_answer_about_old_credentials_does_not_touch_new_ones(accounts):
    account = accounts["stripe-main"]
    ProcessorAccount.objects.filter(pk=account.pk).update(
        credential_fingerprint="of new ones", paused_reason="of new ones"
    )
    check_account(account)
    account.refresh_from_db()
    assert account.paused_reason == "of new ones"
