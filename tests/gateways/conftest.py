"""A scripted processor for the tests of the adapters."""

import pytest

from .inbox import Inbox
from .scripted import scripted_server

pytest.register_assert_rewrite("tests.gateways.contract")


@pytest.fixture
def processor():
    """Answers what the test wrote down, over a real socket, and keeps the requests."""
    with scripted_server() as server:
        yield server


@pytest.fixture
def inbox():
    made = Inbox()
    yield made
    made.server.shutdown()
    made.server.server_close()
