"""Credentials go to a processor, or to a host that PROVIDER_TEST_HOSTS names, and nowhere else."""

import contextlib
import io
import socket

import pytest
from django.core.management import CommandError, call_command

from gateways.base import Account
from gateways.errors import InvalidWebhook, Misconfigured, NotSent
from gateways.models import ProcessorAccount
from gateways.paypal_certificates import check_address
from gateways.registry import open_gateway
from gateways.transport import Transport
from tests.gateways.raw_server import raw_server
from tests.pages import client_of
from tests.rest import make_person

# Addresses as attackers write them, for a test account at Stripe and for one of an NMI reseller.
NO_TEST_HOST = [
    "http://user@127.0.0.1:8100/", "http://user:pass@127.0.0.1/", "http://127.0.0.1@evil.example/",
    "http://127.0.0.1:8100@evil.example/", "http://evil.example#@127.0.0.1/",
    "http://evil.example/?127.0.0.1", "http://127.0.0.1#.evil.example/", "http://127.0.0.1:0/",
    "http://127.0.0.1:65536/", "http://127.0.0.1:-1/", "http://127.0.0.1:port/",
    "http://127.0.0.1./", "http://localhost./", "http://localhost.evil.example/", "http://LOCALHOST.",
    "http://\u217cocalhost/", "http://l\u043ecalhost/", "http://\uff4cocalhost/", "http://127。0。0。1/",
    "http://\u2460\u2461\u2466.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/", "http://[::1%25lo]/", "http://[::127.0.0.1]/", "http://[fe80::1]/",
    "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://0x7f.0.0.1/",
    "http://127.1/", "http://127.0.1/", "http://0/", "http://0.0.0.0:8100/", "http://127.0.0.2/",
    "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://10.0.0.1/",
    "http://192.168.0.1/", "http://172.16.0.1/", "http://100.64.0.1/", "http://metadata/",
    "http://metadata.google.internal/", "http://127.0.0.1.nip.io/", "https://api.stripe.com.evil/",
    "https://api.stripe.com@evil.example/", "https://evil.example/api.stripe.com",
    "https://api-stripe.com/", "https://api.str\u0456pe.com/", "https://xn--api-strpe-i5d.com/",
    "https://api.stripe.com:444/", "http://api.stripe.com/", "https://API.STRIPE.COM.evil.example/",
    "https://api.stripe.com./", "https://api.stripe.com/v1/../../", "https://api.stripe.com%2eevil.example/",
    "https:\\\\api.stripe.com\\", "https:/\\evil.example/", "///127.0.0.1",
    "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "javascript:alert(1)", "data:,x",
    "unix:/run/x.sock", "http://", "http:///", "http://\x00127.0.0.1/", "http://127.0.0.1\r\nX: y/",
    "http://127.0.0.1 .evil.example/", "http://127.0.0.1\t/", "http://.127.0.0.1/", "http://*/",
    "https://api-m.paypal.com", "https://" + "a" * 300 + ".example/",
]  # fmt: skip
NO_RESELLER = [
    "https://127.1/", "https://2130706433.0/", "https://0x7f.0.0.1/", "https://0177.0.0.1/",
    "https://10.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://localhost/",
    "https://printer.local/", "https://printer.local./", "https://db.internal/",
    "https://metadata.google.internal/", "https://metadata.google.internal./", "https://a.localhost/",
    "https://router.lan/", "https://x.home/", "https://1.0.0.127.in-addr.arpa/", "https://gateway/",
    "https://gateway.example.com./", "http://gateway.example.com/", "https://gateway.example.com:0/",
    "https://user@gateway.example.com/", "https://gateway.example.com/?a=b",
    "https://gateway.example.com/#a", "https://gat\u0435way.example.\u0440\u0444/", "https://a..example/1.2",
    "ftp://gateway.example.com/", "https://169.254.169.254/", "https://gateway.example.c0m1/",
]  # fmt: skip
CASES = [("stripe", "test", each) for each in NO_TEST_HOST]
CASES += [("nmi", "live", each) for each in NO_RESELLER]
KEYS = {"stripe": "api_key=sk_test_0123456789abcdef", "nmi": "security_key=0123456789abcdef"}


@pytest.mark.django_db
@pytest.mark.parametrize(("processor", "mode", "address"), CASES)
def test_no_door_takes_it(processor, mode, address):
    name, _equals, key = KEYS[processor].partition("=")
    values = {
        "slug": "new", "processor": processor, "mode": mode, "base_url": address,
        f"{processor}_{name}": key, "is_active": "on",
    }  # fmt: skip
    page = client_of(make_person("admin")).post("/admin/gateways/processoraccount/add/", values)
    assert page.status_code in {200, 400}
    with pytest.raises(CommandError):
        call_command(
            "account", "add", "new", "--processor", processor, "--mode", mode,
            "--credential", KEYS[processor], f"--base-url={address}", stdout=io.StringIO(),
        )  # fmt: skip
    assert not ProcessorAccount.objects.exists()
    account = ProcessorAccount(slug="new", processor=processor, mode=mode, base_url=address)
    account.set_credentials({name: key})
    with pytest.raises(Misconfigured):
        open_gateway(account)


@pytest.mark.parametrize("case", ["HTTP://127.0.0.1:8100/stripe", "http://LocalHost:8100/stripe"])
def test_capitals_are_the_same_host(case):
    account = ProcessorAccount(slug="new", processor="stripe", mode="test", base_url=case)
    account.set_credentials({"api_key": "sk_test_0123456789abcdef"})
    assert open_gateway(account)


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:{port}/secret",
        "http://localhost:{port}/secret", "//127.0.0.1:{port}/secret", "/secret", "file:///etc/passwd",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(place, status):
    with raw_server() as server:
        place = place.format(port=server.port)
        server.plays = [
            server.answer(f"HTTP/1.1 {status} Moved\r\nLocation: {place}\r\n\r\n".encode())
        ]
        answer = Transport().send("GET", f"{server.url}/v1/charges")
        assert answer.status == status
        assert len(server.requests) == 1


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "::1", "fd00:ec2::254", "fe80::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::",
]  # fmt: skip


@pytest.fixture
def lead_to(monkeypatch):
    """Let every name lead to these addresses, as whoever has a domain may do."""

    def lead_to(*addresses: str) -> None:
        found = [(0, 0, 0, "", (address, 443)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return lead_to


@pytest.mark.parametrize("address", PRIVATE)
def test_a_public_name_that_leads_into_a_network_is_not_called(lead_to, address):
    lead_to(address)
    with pytest.raises(NotSent, match="no public address") as caught:
        Transport().send(
            "POST", "https://gateway.reseller.example.com/api/transact.php", body=b"key"
        )
    assert caught.value.reason == "unreachable"


def test_a_host_that_the_setting_names_may_lie_in_a_network(lead_to):
    with contextlib.closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    lead_to("127.0.0.1")
    transport = Transport(near_hosts=["sandbox.test"], connect_seconds=1)
    with pytest.raises(NotSent) as caught:
        transport.send("GET", f"https://sandbox.test:{port}/")
    assert "no public address" not in str(caught.value)


def test_what_the_name_led_to_is_what_is_called(lead_to, monkeypatch):
    """A second look-up could find another address: there is none."""
    called = []

    def connect(address, timeout=None):
        called.append(address)
        raise ConnectionRefusedError

    lead_to("10.0.0.1", "93.184.215.14")
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(NotSent):
        Transport().send("GET", "https://gateway.reseller.example.com/")
    assert called == [("93.184.215.14", 443)]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.paypal.com.evil/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/https://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://user@api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:444/v1/notifications/certs/CERT-1",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../oauth2/token",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?to=evil",
        "https://api.paypal.com/v1/notifications/certs/CERT-1#evil",
        "https://api.paypal.com/v1/notifications/certs/CERT-1\r\nHost: evil",
        "https://api.paypal.com/v1/notifications/certs/%2e%2e",
        "https://api.paypal.com/v1/notifications/certs/", "https://API.PAYPAL.COM.evil/", "",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.p\u0430ypal.com/v1/notifications/certs/CERT-1",
        "https://169.254.169.254/v1/notifications/certs/CERT-1",
        "file:///v1/notifications/certs/CERT-1", "//api.paypal.com/v1/notifications/certs/CERT-1",
    ],
)  # fmt: skip
def test_certificates_come_from_paypal_alone(url):
    account = Account("live", "live", "https://api-m.paypal.com", {})
    check_address("https://api.paypal.com/v1/notifications/certs/CERT-1", account)
    with pytest.raises(InvalidWebhook):
        check_address(url, account)
