"""Processor accounts on the staff site: credentials go in and never come out."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from audit.models import AuditEntry
from gateways.accounts import change_credentials, save_account
from gateways.credentials import credentials_of
from gateways.models import ProcessorAccount
from tests.audit.lines import entries
from tests.rest import make_person

pytestmark = pytest.mark.django_db

KEY = "sk_test_a_long_secret_9876"
LIST = "/admin/gateways/processoraccount/"
NEW = {
    "slug": "stripe-main",
    "processor": "stripe",
    "mode": "test",
    "base_url": "http://127.0.0.1:8100/stripe",
    "is_active": "on",
    "stripe_api_key": KEY,
}


@pytest.fixture
def sign_in(client):
    def sign_in(role):
        client.force_login(make_person(role))
        return client

    return sign_in


@pytest.fixture
def account():
    account = ProcessorAccount(slug="stripe-main", processor="stripe", mode="test")
    change_credentials(account, {"api_key": KEY})
    save_account(account)
    return account


def page_of(account):
    return reverse("admin:gateways_processoraccount_change", args=[account.pk])


def test_an_administrator_adds_an_account(sign_in):
    response = sign_in("admin").post(f"{LIST}add/", NEW)
    assert response.status_code == 302
    account = ProcessorAccount.objects.get()
    assert credentials_of(account) == {"api_key": KEY}
    assert KEY not in str(LogEntry.objects.values())


def test_a_new_account_asks_for_the_credentials_of_every_processor(sign_in):
    page = sign_in("admin").get(f"{LIST}add/").content.decode()
    for field in ("stripe_api_key", "paypal_client_id", "authorizenet_signature_key"):
        assert f'name="{field}"' in page
    assert "processor == &#x27;nmi&#x27;" in page or "processor == 'nmi'" in page


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"stripe_api_key": "sk_live_x"}, "must begin with sk_test_"),
        ({"base_url": "https://evil.example.com"}, "may not be used"),
        ({"base_url": "http://[::1"}, "Enter a valid URL"),
        ({"slug": "two words"}, "valid “slug”"),
        ({"processor": "square"}, "Select a valid choice"),
    ],
)
def test_an_account_that_could_not_be_called_is_not_added(sign_in, changed, sentence):
    response = sign_in("admin").post(f"{LIST}add/", NEW | changed)
    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert KEY not in response.content.decode()
    assert not ProcessorAccount.objects.exists()


@pytest.mark.parametrize(
    ("changed", "lacking"),
    [
        ({"stripe_api_key": ""}, {"stripe_api_key": "api_key"}),
        ({"processor": "nmi"}, {"nmi_security_key": "security_key"}),
        (
            {"processor": "paypal", "paypal_client_id": " "},
            {"paypal_client_id": "client_id", "paypal_client_secret": "client_secret"},
        ),
    ],
)
def test_a_field_that_was_left_empty_says_that_it_is_needed(sign_in, changed, lacking):
    response = sign_in("admin").post(f"{LIST}add/", NEW | changed)
    said = response.context["adminform"].form.errors
    assert said == {
        field: [f"Fill in {name}: without it the account cannot be called."]
        for field, name in lacking.items()
    }
    assert "manage.py" not in response.content.decode()
    assert not ProcessorAccount.objects.exists()


def test_the_page_shows_the_end_of_a_credential_only(sign_in, account):
    page = sign_in("admin").get(page_of(account)).content.decode()
    assert "…9876" in page
    assert "Not set." in page
    assert KEY not in page
    assert account.encrypted_credentials not in page


def test_an_empty_field_keeps_the_credential_and_a_filled_one_replaces_it(sign_in, account):
    client = sign_in("admin")
    form = {"base_url": "", "currency": "EUR", "is_active": "on"}
    assert client.post(page_of(account), form).status_code == 302
    account.refresh_from_db()
    assert account.currency == "EUR"
    assert credentials_of(account) == {"api_key": KEY}
    client.post(page_of(account), form | {"webhook_secret": "whsec_1"})
    account.refresh_from_db()
    assert credentials_of(account) == {"api_key": KEY, "webhook_secret": "whsec_1"}


def test_name_processor_and_mode_stay(sign_in, account):
    form = {"slug": "other", "processor": "nmi", "mode": "live", "is_active": "on"}
    sign_in("admin").post(page_of(account), form)
    account.refresh_from_db()
    assert (account.slug, account.processor, account.mode) == ("stripe-main", "stripe", "test")


def test_without_the_key_all_credentials_are_entered_again(sign_in, account, settings):
    settings.CREDENTIALS_KEYS = ["a key that came too late for it"]
    client = sign_in("admin")
    assert "…9876" not in client.get(page_of(account)).content.decode()
    form = {"is_active": "on"}
    assert "cannot be decrypted" in client.post(page_of(account), form).content.decode()
    client.post(page_of(account), form | {"api_key": KEY})
    account.refresh_from_db()
    assert credentials_of(account) == {"api_key": KEY}


@pytest.mark.parametrize("role", ["viewer", "agent", "approver", "manager"])
def test_others_see_the_account_and_nothing_of_its_credentials(sign_in, account, role):
    client = sign_in(role)
    assert client.get(LIST).status_code == 200
    page = client.get(page_of(account)).content.decode()
    assert "9876" not in page
    assert "api_key" not in page
    assert client.post(page_of(account), {"api_key": "sk_test_x"}).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{page_of(account)}../check_credentials/").status_code in {403, 404}
    assert client.get(f"{page_of(account)}../delete/").status_code == 403


def test_nobody_deletes_an_account(sign_in, account):
    client = sign_in("admin")
    client.force_login(make_person("admin", is_superuser=True))
    address = reverse("admin:gateways_processoraccount_delete", args=[account.pk])
    assert client.post(address, {"post": "yes"}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_credentials_are_checked_from_the_page(sign_in, account, sandbox):
    account.base_url = f"{sandbox.url}/stripe"
    change_credentials(account, {"api_key": "sk_test_sandbox_main"})
    save_account(account)
    client = sign_in("admin")
    address = reverse("admin:gateways_processoraccount_check_credentials", args=[account.pk])
    assert "One harmless call" in client.get(address).content.decode()
    assert not sandbox.ledger.requests
    done = client.post(address, {"_form_submitted": "True"}, follow=True)
    assert "Stripe accepts the key" in done.content.decode()

    change_credentials(account, {"api_key": KEY})
    save_account(account)
    swapped = client.post(address, {"_form_submitted": "True"}, headers={"HX-Request": "true"})
    assert swapped["HX-Redirect"] == page_of(account)
    page = client.get(page_of(account)).content.decode()
    assert page.count("did not accept our key") == 2  # the message, and why it is paused
    assert "Paused" in client.get(LIST).content.decode()


def test_a_held_account_says_so_and_why(sign_in, account):
    account.held_reason = "The database was restored."
    account.save(update_fields=["held_reason"])
    client = sign_in("admin")
    assert "Held" in client.get(LIST).content.decode()
    assert "The database was restored." in client.get(page_of(account)).content.decode()


FEES = {"fee": "2.9", "refund_fee": "0.10 USD", "arrives_after_days": 3, "arrives_within_days": 5}


def test_what_people_are_told_before_they_refund(sign_in, account):
    client = sign_in("admin")
    facts = {"base_url": "", "currency": "", "is_active": "on"}
    assert client.post(page_of(account), facts | FEES).status_code == 302
    account.refresh_from_db()
    told = (account.fee_basis_points, account.refund_fee_minor, account.refund_fee_currency)
    assert told == (290, 10, "USD")
    assert (account.arrives_after_days, account.arrives_within_days) == (3, 5)
    page = client.get(page_of(account)).content.decode()
    assert 'value="2.90"' in page
    assert 'value="0.10 USD"' in page
    assert client.post(page_of(account), facts).status_code == 302
    account.refresh_from_db()
    assert (account.fee_basis_points, account.refund_fee_minor) == (0, 0)
    assert account.arrives_within_days is None


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        *(
            ({"fee": fee}, "Enter a percentage")
            for fee in ("2,9", "101", "-1", "1e1", "2.999", "٢")
        ),
        *(
            ({"refund_fee": fee}, "Enter an amount and its currency")
            for fee in ("0.10", "USD", "0.10 USDT", "-1 USD", "0.105 USD", "1e1 USD")
        ),
        ({"arrives_after_days": 6}, "at least as many days"),
        ({"arrives_within_days": ""}, "at least as many days"),
        ({"arrives_within_days": 100}, "less than or equal to 99"),
    ],
)
def test_fees_and_days_that_are_none_are_refused(sign_in, account, typed, sentence):
    values = {"base_url": "", "currency": "", "is_active": "on"} | FEES | typed
    response = sign_in("admin").post(page_of(account), values)
    assert response.status_code == 200
    assert sentence in response.content.decode()
    account.refresh_from_db()
    assert (account.fee_basis_points, account.arrives_within_days) == (0, None)


def test_the_audit_log_tells_what_changed_and_never_a_secret(sign_in):
    client = sign_in("admin")
    assert client.post(f"{LIST}add/", NEW).status_code == 302
    account = ProcessorAccount.objects.get()
    changed = {"base_url": NEW["base_url"], "api_key": KEY + "2", "fee": "1.5"}
    assert client.post(page_of(account), changed).status_code == 302
    added, changed, renewed = entries()
    assert (added.kind, added.account_id, added.about_id) == (
        "account.added", account.pk, str(account.pk),
    )  # fmt: skip
    assert added.data["credentials"] == ["api_key"]
    assert added.actor.groups.get().name == "admin"
    assert changed.data == {"changed": {"is_active": [True, False], "fee_basis_points": [0, 150]}}
    assert (renewed.kind, renewed.data) == (
        "account.credentials_changed", {"credentials": ["api_key"]},
    )  # fmt: skip
    assert KEY not in str(AuditEntry.objects.values())


def test_saving_without_a_change_is_not_told(sign_in, account):
    before = entries().count()
    same = {"is_active": "on"}
    assert sign_in("admin").post(page_of(account), same).status_code == 302
    assert entries().count() == before
