"""Merchants of the sandbox."""

import json

import pytest

from .merchants import PayPal, Stripe


@pytest.fixture
def stripe(sandbox):
    merchant = Stripe(sandbox)
    yield merchant
    merchant.close()


@pytest.fixture
def japan(sandbox):
    """The Stripe account without balance."""
    merchant = Stripe(sandbox, "stripe-japan")
    yield merchant
    merchant.close()


@pytest.fixture
def paypal(sandbox):
    merchant = PayPal(sandbox)
    yield merchant
    merchant.close()


@pytest.fixture
def control(sandbox):
    """Posts to the control addresses; returns the JSON of an answer that must be good."""
    merchant = Stripe(sandbox)
    merchant.prefix = "/_sandbox"

    def order(path, wish=None, *, method="", status=None):
        body = None if wish is None else json.dumps(wish)
        answer = merchant.send(method or ("GET" if wish is None else "POST"), path, body)
        assert answer.status == status if status else answer.status < 300, answer.body
        return answer.data

    yield order
    merchant.close()
