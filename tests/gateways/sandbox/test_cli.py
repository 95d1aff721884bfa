"""Starting and stopping from a terminal."""

import signal
import subprocess
import sys
import urllib.request

import pytest

from .wire import REPOSITORY


def run(*command):
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", [("-m", "gateways.sandbox"), ("manage.py", "sandbox")])
def test_it_serves_until_told_to_stop(command, number):
    process = run(*command, "--port", "0", "--payments", "60", "--seed", "7")
    url = process.stdout.readline().split()[-1]
    with urllib.request.urlopen(f"{url}ledger?account=nmi-main") as answer:
        assert answer.status == 200
    process.send_signal(number)
    assert (process.wait(10), process.stderr.read()) == (0, "")


def test_without_django():
    code = "import sys, gateways.sandbox.cli; sys.exit('django' in sys.modules)"
    assert run("-c", code).wait(20) == 0


def test_a_taken_port_is_a_sentence(sandbox):
    port = sandbox.url.rpartition(":")[2]
    process = run("-m", "gateways.sandbox", "--port", port, "--payments", "0")
    assert process.wait(20) == 1
    assert process.stderr.read().startswith(f"The sandbox cannot listen on 127.0.0.1:{port}")


def test_too_many_payments_are_a_sentence():
    process = run("-m", "gateways.sandbox", "--payments", "200001")
    assert process.wait(20) == 2
    assert "200000" in process.stderr.read()


def test_a_port_that_is_none_is_a_sentence():
    process = run("-m", "gateways.sandbox", "--port", "65536")
    assert process.wait(20) == 2
    assert process.stderr.read() == "--port is from 0 to 65535.\n"
