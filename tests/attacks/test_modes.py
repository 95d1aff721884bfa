"""Live keys where tests are made, and test keys where money is: refused at every door.

Of the four processors only the keys of Stripe tell their mode. Those of the others are refused by
the processor, as the addresses of test and live accounts are different ones.
"""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from gateways.errors import Misconfigured
from gateways.models import Processor, ProcessorAccount
from gateways.registry import gateway_class, open_gateway
from tests.pages import client_of, visible
from tests.rest import make_person

pytestmark = pytest.mark.django_db

OTHERS = [
    ("test", "sk_live_0123456789abcdef"), ("test", "rk_live_0123456789abcdef"),
    ("live", "sk_test_0123456789abcdef"), ("live", "rk_test_0123456789abcdef"),
    ("live", "pk_live_0123456789abcdef"), ("test", "SK_TEST_0123456789abcdef"),
    ("live", "sk_live"), ("test", "0123456789abcdef"), ("live", "x sk_live_0123456789abcdef"),
]  # fmt: skip
KEYS = {"test": "sk_test_0123456789abcdef", "live": "sk_live_0123456789abcdef"}


def account_of(mode: str, key: str) -> ProcessorAccount:
    account = ProcessorAccount(slug="mixed", processor="stripe", mode=mode)
    account.set_credentials({"api_key": key})
    return account


def add_by_form(mode: str, key: str) -> str:
    browser = client_of(make_person("admin"))
    values = {"slug": "mixed", "processor": "stripe", "mode": mode, "is_active": "on"}
    address = "/admin/gateways/processoraccount/add/"
    return visible(browser.post(address, values | {"stripe_api_key": key}))


def add_by_command(mode: str, key: str) -> None:
    call_command(
        "account", "add", "mixed", "--processor", "stripe", "--mode", mode,
        "--credential", f"api_key={key}", stdout=io.StringIO(),
    )  # fmt: skip


@pytest.mark.parametrize(("mode", "key"), OTHERS)
def test_a_key_of_the_other_mode(mode, key):
    says = f"is in mode {mode}, so its Stripe key must begin with sk_{mode}_"
    assert says in add_by_form(mode, key)
    with pytest.raises(CommandError, match=says):
        add_by_command(mode, key)
    assert not ProcessorAccount.objects.exists()
    with pytest.raises(Misconfigured, match=says):
        open_gateway(account_of(mode, key))


def test_a_key_that_is_changed_for_one_of_the_other_mode():
    add_by_command("live", KEYS["live"])
    account = ProcessorAccount.objects.get()
    browser = client_of(make_person("admin"))
    address = f"/admin/gateways/processoraccount/{account.pk}/change/"
    browser.post(address, {"is_active": "on", "api_key": KEYS["test"]})
    with pytest.raises(CommandError, match="must begin with sk_live_"):
        add_by_command("live", KEYS["test"])
    with pytest.raises(CommandError, match="Choose another name"):
        add_by_command("test", KEYS["test"])
    after = ProcessorAccount.objects.get()
    assert after.credential_fingerprint == account.credential_fingerprint


@pytest.mark.parametrize("processor", [each for each in Processor.values if each != "nmi"])
def test_an_address_of_the_other_mode(processor):
    urls = gateway_class(processor).default_base_urls
    if urls["test"] == urls["live"]:
        assert processor == "stripe"  # where the key tells
        return
    for mode, other in (("test", "live"), ("live", "test")):
        account = ProcessorAccount(
            slug="mixed", processor=processor, mode=mode, base_url=urls[other]
        )
        names = gateway_class(processor).credential_names
        account.set_credentials(dict.fromkeys(names, "0123456789abcdef"))
        with pytest.raises(Misconfigured, match=f"is not the {mode} address"):
            open_gateway(account)


def test_no_live_account_is_called_in_debug_mode(settings):
    settings.DEBUG = True
    says = "is live, and DEBUG is on: a mistake here would move real money"
    assert says in add_by_form("live", KEYS["live"])
    with pytest.raises(CommandError, match=says):
        add_by_command("live", KEYS["live"])
    assert not ProcessorAccount.objects.exists()
    with pytest.raises(Misconfigured, match=says):
        open_gateway(account_of("live", KEYS["live"]))
    assert open_gateway(account_of("test", KEYS["test"])).account.mode == "test"
    settings.ALLOW_LIVE_WITH_DEBUG = True
    assert open_gateway(account_of("live", KEYS["live"])).account.mode == "live"
