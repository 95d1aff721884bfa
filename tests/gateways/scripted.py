"""A processor that says what a test wrote down: real sockets, canned answers, requests kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Answer:
    """``body`` None closes the connection after the request was read, without an answer."""

    body: bytes | None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"


class ScriptedServer:
    """Answers requests in the order of ``script``; a callable there gets the request first."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.script: list[Answer | Callable[[Received], Answer]] = []
        self.received: list[Received] = []

    def then(self, body: bytes | str | None, status: int = 200, **headers: str) -> None:
        """Append an answer; ``retry_after="3"`` becomes the header Retry-After."""
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script.append(Answer(data, status, named))

    def answer(self, request: Received) -> Answer:
        self.received.append(request)
        if not self.script:
            return Answer(b"the script has ended", 599)
        step = self.script.pop(0)
        return step if isinstance(step, Answer) else step(request)


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = scripted.answer(Received(self.path, headers, body, self.command))
            if answer.body is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST  # noqa: N815 the name that http.server looks for

        def log_message(self, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scripted = ScriptedServer(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
