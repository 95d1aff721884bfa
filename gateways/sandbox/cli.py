"""Serves the sandbox from a terminal until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from .seed import DEFAULT_PAYMENTS
from .server import SandboxServer
from .state import StateFileError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``manage.py sandbox`` and ``python -m gateways.sandbox``."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8100, help="port to listen on (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="makes the same demo set again")
    parser.add_argument(
        "--payments", type=int, default=DEFAULT_PAYMENTS, help="size of the demo set (%(default)s)"
    )
    parser.add_argument("--state", type=Path, help="file that keeps the ledger between runs")


def serve(*, host: str, port: int, seed: int, payments: int, state: Path | None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    endings = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)  # in every thread: only sigwait gets them
    if not 0 <= port <= 65_535:
        sys.stderr.write("--port is from 0 to 65535.\n")
        return 2
    if not 0 <= payments <= 200_000:
        sys.stderr.write("--payments is from 0 to 200000.\n")
        return 2
    try:
        server = SandboxServer(host=host, port=port, seed=seed, payments=payments, state=state)
    except StateFileError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"The sandbox cannot listen on {host}:{port}: {error.strerror}.\n")
        return 1
    with server:
        sys.stdout.write(f"Provider sandbox: {server.url}/_sandbox/\n")
        sys.stdout.flush()
        signal.sigwait(endings)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """``python -m gateways.sandbox``."""
    parser = argparse.ArgumentParser(prog="gateways.sandbox", description=__doc__)
    add_arguments(parser)
    chosen = parser.parse_args(arguments)
    return serve(**vars(chosen))
