import pytest
from django.db import transaction

from gateways.base import PaymentGateway
from gateways.errors import Misconfigured
from gateways.models import Mode, Processor, ProcessorAccount
from gateways.registry import check_base_url, gateway_class, open_gateway

CREDENTIALS = {
    "stripe": {"api_key": "sk_test_1234567890"},
    "paypal": {"client_id": "id", "client_secret": "secret"},
    "authorizenet": {"api_login_id": "login", "transaction_key": "key"},
    "nmi": {"security_key": "key"},
}


def account(processor="stripe", **fields):
    """An account that is not in the database: opening it needs none."""
    values = {"slug": "main", "processor": processor, "mode": "test"}
    values |= {"currency": "USD"} if processor in {"authorizenet", "nmi"} else {}
    made = ProcessorAccount(**values | fields)
    made.set_credentials(CREDENTIALS[processor])
    return made


@pytest.mark.parametrize("processor", Processor.values)
def test_every_processor_has_an_adapter_that_says_what_it_needs(processor):
    adapter = gateway_class(processor)
    assert issubclass(adapter, PaymentGateway)
    assert adapter.processor == processor
    assert adapter.label == Processor(processor).label
    assert set(adapter.default_base_urls) == set(Mode.values)
    assert set(adapter.credential_names) == set(CREDENTIALS[processor])


def test_the_names_of_credentials_are_those_that_were_promised():
    names = {
        processor: (*gateway_class(processor).credential_names,
                    *gateway_class(processor).webhook_credential_names)
        for processor in Processor.values
    }  # fmt: skip
    assert names == {
        "stripe": ("api_key", "webhook_secret"),
        "paypal": ("client_id", "client_secret", "webhook_id"),
        "authorizenet": ("api_login_id", "transaction_key", "signature_key"),
        "nmi": ("security_key", "webhook_signing_key"),
    }


@pytest.mark.parametrize("name", ["", "Stripe", "square", "gateways.stripe"])
def test_a_processor_that_is_none_is_named(name):
    with pytest.raises(Misconfigured, match="Known are: stripe, paypal, authorizenet, nmi"):
        gateway_class(name)


@pytest.mark.parametrize("processor", Processor.values)
def test_an_account_becomes_a_gateway(processor):
    gateway = open_gateway(account(processor, base_url="http://127.0.0.1:8100/x/"))
    assert isinstance(gateway, gateway_class(processor))
    assert gateway.account.slug == "main"
    assert gateway.account.base_url == "http://127.0.0.1:8100/x"
    assert gateway.account.credentials == CREDENTIALS[processor]
    assert "sk_test" not in repr(gateway.account)


@pytest.mark.parametrize("way", ["offline", "api"])
def test_the_installation_says_who_checks_the_webhooks_of_paypal(settings, way):
    settings.PAYPAL_WEBHOOK_VERIFICATION = way
    assert open_gateway(account("paypal")).account.webhook_verification == way


@pytest.mark.parametrize("processor", Processor.values)
def test_without_an_address_it_is_the_processors_own(processor):
    gateway = open_gateway(account(processor))
    assert gateway.account.base_url == gateway_class(processor).default_base_urls["test"]


def test_missing_credentials_are_named_with_the_command_that_sets_them():
    made = account("paypal")
    made.set_credentials({"client_id": "id", "client_secret": ""})
    with pytest.raises(
        Misconfigured, match=r"lacks client_secret\. Set it with: manage.py account add"
    ):
        open_gateway(made)


def test_a_live_account_with_a_test_key_is_refused():
    with pytest.raises(Misconfigured, match="mode live"):
        open_gateway(account(mode="live"))


@pytest.mark.django_db(transaction=True)
def test_a_gateway_refuses_to_call_inside_a_transaction(sandbox):
    gateway = open_gateway(account(base_url=f"{sandbox.url}/stripe"))
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database transaction"):
        gateway.check_credentials()
    assert not sandbox.ledger.requests


@pytest.mark.parametrize(
    ("base_url", "processor", "mode"),
    [
        ("https://api.stripe.com", "stripe", "live"),
        ("https://api.stripe.com/", "stripe", "test"),
        ("https://api-m.paypal.com", "paypal", "live"),
        ("https://api-m.sandbox.paypal.com", "paypal", "test"),
        ("http://127.0.0.1:8100/stripe", "stripe", "test"),
        ("http://localhost:8100/nmi", "nmi", "test"),
        ("https://gateway.reseller.example.com", "nmi", "live"),
    ],
)
def test_an_address_that_credentials_may_go_to(base_url, processor, mode):
    check_base_url(base_url, processor=processor, mode=mode)


@pytest.mark.parametrize(
    ("base_url", "processor", "mode"),
    [
        ("https://api-m.sandbox.paypal.com", "paypal", "live"),
        ("https://api-m.paypal.com", "paypal", "test"),
        ("http://127.0.0.1:8100/stripe", "stripe", "live"),
        ("https://evil.example.com", "stripe", "test"),
        ("https://evil.example.com", "stripe", "live"),
        ("https://api.stripe.com.evil.example.com", "stripe", "live"),
        ("https://api.stripe.com@evil.example.com", "stripe", "live"),
        ("https://user:pass@127.0.0.1/", "stripe", "test"),
        ("http://127.0.0.1/?next=", "stripe", "test"),
        ("http://127.0.0.1/#https://api.stripe.com", "stripe", "test"),
        ("http://169.254.169.254/latest/meta-data", "stripe", "test"),
        ("http://0.0.0.0:8100", "stripe", "test"),
        ("http://127.0.0.1.evil.example.com", "stripe", "test"),
        ("http://localhost.:8100", "stripe", "test"),
        ("ftp://127.0.0.1/", "stripe", "test"),
        ("file:///etc/passwd", "stripe", "test"),
        ("//127.0.0.1/", "stripe", "test"),
        ("127.0.0.1", "stripe", "test"),
        ("http://", "stripe", "test"),
        ("http://[::1", "stripe", "test"),
        ("http://127.0.0.1:99999/", "stripe", "test"),
        ("", "stripe", "test"),
        ("http://gateway.reseller.example.com", "nmi", "live"),
        ("https://10.0.0.1/", "nmi", "live"),
        ("https://[::1]/", "nmi", "live"),
        ("https://intranet/", "nmi", "live"),
        ("https://db.internal/", "nmi", "live"),
        ("https://printer.local/", "nmi", "live"),
    ],
)
def test_an_address_that_credentials_may_not_go_to(base_url, processor, mode):
    with pytest.raises(Misconfigured):
        check_base_url(base_url, processor=processor, mode=mode)


def test_in_production_no_local_address_is_allowed(settings):
    settings.PROVIDER_TEST_HOSTS = []
    with pytest.raises(Misconfigured, match="PROVIDER_TEST_HOSTS"):
        check_base_url("http://127.0.0.1:8100/stripe", processor="stripe", mode="test")
