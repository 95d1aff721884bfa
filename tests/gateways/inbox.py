"""An address that webhooks can be sent to."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.waiting import wait_until


class Inbox:
    """An address that keeps what is posted to it, and answers with ``status``."""

    def __init__(self):
        self.notices, self.status = [], 200
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.notices.append((dict(self.headers), body))
                self.send_response(inbox.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hooks?a=1"
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def take(self, count):
        """The next ``count`` notices: (headers, body)."""
        wait_until(lambda: len(self.notices) >= count)
        taken, self.notices = self.notices[:count], self.notices[count:]
        return taken
