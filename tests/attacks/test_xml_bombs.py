"""Answers in XML that would read files, ask other hosts or grow: over sockets, to the real adapters."""

import resource
from collections.abc import Callable

import pytest

from gateways.authorizenet import AuthorizeNetGateway
from gateways.base import Account, PaymentGateway
from gateways.errors import GatewayError, OutcomeUnknown
from gateways.nmi import NmiGateway
from gateways.transport import Transport
from tests.gateways import authorizenet_wire, nmi_wire
from tests.gateways.raw_server import raw_server

ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 40))
BOMBS = {
    "billion laughs": f'<!DOCTYPE a [<!ENTITY e0 "lol">{ENTITIES}]><a>&e39;</a>',
    "quadratic": f'<!DOCTYPE a [<!ENTITY e "{"x" * 50_000}">]><a>{"&e;" * 200_000}</a>',
    "file": '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
    "in an attribute": '<!DOCTYPE a [<!ENTITY e "x">]><a b="&e;"/>',
    "another host": '<!DOCTYPE a [<!ENTITY e SYSTEM "{url}/secret">]><a>&e;</a>',
    "parameter": '<!DOCTYPE a [<!ENTITY % e SYSTEM "{url}/secret"> %e;]><a/>',
    "another DTD": '<!DOCTYPE a SYSTEM "{url}/secret"><a/>',
    "public": '<!DOCTYPE a PUBLIC "x" "{url}/secret"><a/>',
    "alone": "<!DOCTYPE a><a/>",
    "included": '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{url}/secret"/></a>',
    "a style sheet": '<?xml-stylesheet href="{url}/secret"?><a/>',
    "deep": "<a>" * 100_000,
    "many attributes": "<a " + " ".join(f"a{n}=''" for n in range(50_000)) + "/>",
}
MOST_MEMORY = 60_000  # kB


def authorizenet(url: str) -> PaymentGateway:
    account = Account("hats", "test", url, authorizenet_wire.CREDENTIALS, currency="USD")
    return AuthorizeNetGateway(account, Transport(total_seconds=20))


def nmi(url: str) -> PaymentGateway:
    account = Account("hats", "test", url, {"security_key": nmi_wire.KEY})
    return NmiGateway(account, Transport(total_seconds=20))


def ask(gateway: PaymentGateway) -> None:
    gateway.check_credentials()


def find(gateway: PaymentGateway) -> None:
    gateway.get_payment("1001")


def pay_back(gateway: PaymentGateway) -> None:
    gateway.refund(authorizenet_wire.REFUND)


CALLS = [
    (authorizenet, ask), (authorizenet, find), (authorizenet, pay_back), (nmi, ask), (nmi, find),
]  # fmt: skip
calls = pytest.mark.parametrize(
    ("processor", "call"), CALLS, ids=[f"{p.__name__}-{c.__name__}" for p, c in CALLS]
)


@calls
@pytest.mark.parametrize("name", BOMBS)
def test_it_is_no_answer(processor: Callable, call: Callable, name: str):
    with raw_server() as server:
        body = BOMBS[name].replace("{url}", server.url).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        server.plays = [server.answer(head + body)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(GatewayError) as caught:
            call(processor(server.url))
        assert b"/secret" not in b"".join(request.split(b"\r\n")[0] for request in server.requests)
    assert "root:" not in str(caught.value)
    assert not [each for each in caught.value.exchanges if "root:" in each.response]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
    if call is pay_back:
        assert isinstance(caught.value, OutcomeUnknown)


@calls
@pytest.mark.parametrize("is_told", [True, False], ids=["with its length", "without"])
def test_fifty_megabytes_are_not_read(processor: Callable, call: Callable, is_told: bool):
    filler = b"<a>" + b"x" * 50_000_000 + b"</a>"
    length = f"Content-Length: {len(filler)}\r\n" if is_told else ""
    head = f"HTTP/1.1 200 OK\r\n{length}\r\n".encode()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raw_server() as server:
        server.plays = [server.answer(head + filler)]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the server's own copy
        with pytest.raises(GatewayError):
            call(processor(server.url))
    del filler
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - max(before, grown) < MOST_MEMORY
