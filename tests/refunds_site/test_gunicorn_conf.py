"""What only the real server can tell: a header that was sent twice."""

import http.client
import subprocess
import sys
from pathlib import Path

import pytest

import refunds_site
from refunds_site.embedded import free_port
from tests.waiting import wait_until

PROJECT = Path(refunds_site.__file__).parent.parent


def echo(environ, start_response):
    """A WSGI application that answers with the key it was sent."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("HTTP_IDEMPOTENCY_KEY", "none").encode()]


@pytest.fixture(scope="module")
def send():
    """Send these values of the header; what arrives."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", f"{__name__}:echo", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", "gthread", "--no-control-socket"]

    def send(*values):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.putrequest("POST", "/")
            for value in values:
                connection.putheader("idempotency-key", value)
            connection.endheaders()
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def answers():
        try:
            return send() == "none"
        except OSError:
            return False

    with subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(answers, seconds=30)
            yield send
        finally:
            server.terminate()


@pytest.mark.parametrize("values", [["a", "b"], ["a", "a"], ["", "a"], ["a", "b", "c"]])
def test_a_key_sent_twice_is_no_key(send, values):
    assert send(*values) == ""


@pytest.mark.parametrize("key", ["a", "a,b", "a, b"])
def test_one_key_arrives_as_it_was_sent(send, key):
    assert send(key) == key
