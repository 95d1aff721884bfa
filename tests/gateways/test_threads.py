"""Adapters in many threads at once, as the background worker uses them: no state is shared."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from gateways.base import Account
from gateways.registry import gateway_class
from gateways.transport import Transport

PROCESSORS = {
    "stripe": "stripe-main",
    "paypal": "paypal-main",
    "authorizenet": "authorizenet-us",
    "nmi": "nmi-main",
}
THREADS = 16


@pytest.fixture
def _hurried_threads():
    """Let Python change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def read_all(sandbox, processor):
    """Every payment of an account, each by a call of its own."""
    account = sandbox.ledger.accounts[PROCESSORS[processor]]
    gateway = gateway_class(processor)(
        Account(
            slug=processor,
            mode="test",
            base_url=f"{sandbox.url}/{processor}",
            credentials=account.credentials,
            currency="USD",
        ),
        Transport(),
    )
    ids = [each.id for each in sandbox.ledger.payments.values() if each.account == account.name]
    return [gateway.get_payment(each) for each in ids]


@pytest.mark.usefixtures("_hurried_threads")
def test_each_thread_reads_its_own(sandbox):
    sandbox.reset(seed=1, payments=60)
    alone = {processor: read_all(sandbox, processor) for processor in PROCESSORS}
    assert all(len([each for each in found if each]) > 5 for found in alone.values())
    start = Barrier(THREADS)

    def read(number):
        processor = list(PROCESSORS)[number % len(PROCESSORS)]
        start.wait(10)
        return read_all(sandbox, processor) == alone[processor]

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(read, range(THREADS)))
