import datetime as dt
import ipaddress
import socket
import ssl
import struct
import time
from threading import Event

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateways import connection as connecting
from gateways.errors import Misconfigured, NotSent, OutcomeUnknown
from gateways.transport import MAX_EXCHANGES_KEPT, Transport, retry_after

from .raw_server import OK, raw_server, read_request

SHORT = 0.3  # seconds for calls that are meant to run out of time
LATE = 5  # seconds that a loaded machine may add


@pytest.fixture
def server():
    with raw_server() as server:
        server.plays = [server.answer(OK, OK, OK, OK)]
        yield server


@pytest.fixture
def transport():
    transport = Transport(secrets=["sk_test_secret"])
    yield transport
    transport.close()


@pytest.fixture
def hasty():
    transport = Transport(total_seconds=SHORT, connect_seconds=SHORT)
    yield transport
    transport.close()


class TestRequest:
    def test_is_sent_as_given_and_answered_whole(self, server, transport):
        response = transport.send(
            "POST", f"{server.url}/v1/refunds?a=1", headers={"X-One": "1"}, body=b"amount=5"
        )
        assert (response.status, response.body) == (200, b"hello")
        assert response.headers == {"content-length": "5"}
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert body == b"amount=5"
        assert head.split(b"\r\n") == [
            b"POST /v1/refunds?a=1 HTTP/1.1",
            f"Host: 127.0.0.1:{server.port}".encode(),
            b"User-Agent: refund-desk",
            b"X-One: 1",
            b"Accept-Encoding: identity",
            b"Connection: close",
            b"Content-Length: 8",
        ]

    def test_of_a_read_has_no_body_and_an_empty_path_is_a_slash(self, server, transport):
        transport.send("GET", server.url, reuse_connection=True)
        assert server.requests[0].startswith(b"GET / HTTP/1.1\r\n")
        assert b"content-length" not in server.requests[0].lower()
        assert b"Connection: keep-alive" in server.requests[0]

    def test_of_a_post_without_a_body_says_so(self, server, transport):
        transport.send("POST", server.url)
        assert b"Content-Length: 0" in server.requests[0]

    def test_keeps_its_framing_whatever_headers_are_passed(self, server, transport):
        passed = {
            "Host": "other.example.com",
            "Content-Length": "99",
            "Transfer-Encoding": "chunked",
            "Accept-Encoding": "gzip",
            "Connection": "upgrade",
            "User-Agent": "sdk/1",
        }
        transport.send("POST", server.url, headers=passed, body=b"x")
        head = server.requests[0].lower()
        for wrong in (b"other.example.com", b"length: 99", b"chunked", b"gzip", b"upgrade"):
            assert wrong not in head
        assert b"user-agent: sdk/1" in head

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            ("/a b", {}),
            ("/a\r\nX-Evil: 1", {}),
            ("/ü", {}),
            ("/", {"X-One": "1\r\nX-Evil: 1"}),
            ("/", {"X-One": "1\x00"}),
            ("/", {"X One": "1"}),
            ("/", {"X-One": "☃"}),
        ],
    )
    def test_that_could_smuggle_another_is_not_sent(self, server, transport, path, headers):
        with pytest.raises(NotSent) as caught:
            transport.send("GET", server.url + path, headers=headers)
        assert caught.value.reason == "refused_locally"
        assert "Nothing was sent." in str(caught.value)
        assert server.connections == 0

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://127.0.0.1/",
            "127.0.0.1:80",
            "http:///path",
            "http://[::1",
            "http://127.0.0.1:99999/",
            "http://name:password@127.0.0.1/",
            "http://api.example.com/",
            "http://127.0.0.1.example.com/",
            "http://192.0.2.1/",
        ],
    )
    def test_to_an_address_of_the_wrong_kind_is_misconfigured(self, transport, url):
        with pytest.raises(Misconfigured):
            transport.send("GET", url)
        assert transport.exchanges == []

    def test_ignores_proxies_of_the_environment(self, server, transport, monkeypatch):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert transport.send("GET", server.url).status == 200

    def test_waits_for_the_guard(self, server):
        def refuse():
            raise RuntimeError("inside a transaction")

        with pytest.raises(RuntimeError, match="inside a transaction"):
            Transport(guard=refuse).send("GET", server.url)
        assert server.connections == 0


class TestAnswer:
    @pytest.mark.parametrize("status", [201, 302, 400, 401, 404, 409, 422, 429, 500, 503])
    def test_of_any_status_is_returned_and_redirects_are_not_followed(
        self, server, transport, status
    ):
        answer = f"HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\nno"
        server.plays = [server.answer(answer.encode())]
        response = transport.send("POST", server.url)
        assert (response.status, response.body) == (status, b"no")
        assert response.headers["location"] == "/elsewhere"
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("answer", "body"),
        [
            (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
            (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                b"abcde",
            ),
            (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hello"),
            (b"HTTP/1.0 200 OK\r\nContent-Encoding: identity\r\n\r\nold", b"old"),
        ],
    )
    def test_in_any_framing_is_read(self, server, transport, answer, body):
        server.plays = [server.answer(answer)]
        assert transport.send("GET", server.url).body == body

    @pytest.mark.parametrize(
        ("answer", "sentence"),
        [
            (b"", "closed without an answer"),
            (b"SSH-2.0-OpenSSH_9\r\n", "not HTTP"),
            (b"HTTP/1.1 2xx OK\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "broke off after 5 bytes"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
                "broke off after",
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", "broke off"),
            (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "got more than 100 headers"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "header line"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, "larger than 1000"),
            (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b", "compressed"),
        ],
    )
    def test_that_is_not_whole_leaves_the_outcome_unknown(self, server, answer, sentence):
        server.plays = [server.answer(answer)]
        transport = Transport(max_bytes=1000)
        with pytest.raises(OutcomeUnknown, match=sentence) as caught:
            transport.send("POST", server.url, body=b"pay")
        assert "may have been done" in str(caught.value)
        (exchange,) = caught.value.exchanges
        assert sentence in exchange.error
        assert answer[:20].decode("utf-8", "replace") in exchange.response
        assert server.connections == 1

    def test_may_be_larger_where_the_call_says_so(self, server):
        server.plays = [server.answer(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)]
        transport = Transport(max_bytes=1000)
        assert len(transport.send("GET", server.url, max_bytes=5000).body) == 5000

    def test_that_is_a_reset_leaves_the_outcome_unknown(self, server, transport):
        def reset(connection: socket.socket) -> None:
            read_request(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        server.plays = [reset]
        with pytest.raises(OutcomeUnknown, match="the connection broke"):
            transport.send("POST", server.url, body=b"pay")

    @pytest.mark.parametrize(
        "data",
        [
            b"HTTP/1.1 200 OK\r\n" + b"X" * 1000,
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200,
        ],
    )
    def test_that_drips_ends_by_the_clock(self, server, hasty, data):
        server.plays = [server.drip(data)]
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown, match=r"no end after 0\.3 seconds|timed out"):
            hasty.send("POST", server.url, body=b"pay")
        assert SHORT <= time.monotonic() - begun < SHORT + LATE

    def test_that_does_not_come_ends_by_the_clock(self, server, hasty):
        server.plays = [server.silence]
        with pytest.raises(OutcomeUnknown, match="timed out") as caught:
            hasty.send("POST", server.url, body=b"pay")
        assert caught.value.exchanges[0].status is None
        assert caught.value.exchanges[0].milliseconds >= SHORT * 1000 * 0.9

    def test_to_a_request_that_nobody_reads_ends_by_the_clock(self, server):
        server.plays = [lambda connection: server.ended.wait(30)]
        # More than the sockets hold, and long enough to get that far on a loaded machine.
        patient = Transport(total_seconds=3)
        with pytest.raises(OutcomeUnknown, match="timed out"):
            patient.send("POST", server.url, body=b"x" * 20_000_000)


class TestConnecting:
    def test_to_a_closed_port_sends_nothing(self, transport):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(NotSent, match="the connection was refused") as caught:
            transport.send("POST", f"http://127.0.0.1:{port}/", body=b"pay")
        assert caught.value.reason == "unreachable"
        (exchange,) = caught.value.exchanges
        assert (exchange.status, exchange.error) == (None, "the connection was refused")

    def test_to_a_machine_that_does_not_answer_sends_nothing(self, hasty):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            fillers = [socket.socket() for _ in range(8)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            with pytest.raises(NotSent, match="timed out") as caught:
                hasty.send("POST", f"http://127.0.0.1:{listener.getsockname()[1]}/")
            for filler in fillers:
                filler.close()
        assert caught.value.reason == "unreachable"

    def test_to_a_name_that_is_not_known_sends_nothing(self, transport, monkeypatch):
        def fail(*_, **__):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(NotSent, match=r"could not be looked up.*Name or service not known"):
            transport.send("POST", "https://api.example.com/")

    def test_to_a_name_that_cannot_be_one_sends_nothing(self, transport):
        with pytest.raises(NotSent, match="could not be looked up"):
            transport.send("POST", f"https://{'a' * 70}.example.com/")

    def test_to_a_name_without_addresses_sends_nothing(self, transport, monkeypatch):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        with pytest.raises(NotSent, match="no address"):
            transport.send("POST", "https://api.example.com/")

    def test_does_not_wait_for_a_slow_name_service(self, hasty, monkeypatch):
        released = Event()

        def wait(*_, **__):
            released.wait(30)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", wait)
        with pytest.raises(NotSent, match="not be looked up in time"):
            hasty.send("POST", "https://api.example.com/")
        released.set()

    def test_tries_one_address_after_the_other(self, server, transport, monkeypatch):
        answers = [(0, 0, 0, "", (host, server.port)) for host in ("::1", "127.0.0.1")]
        real = socket.getaddrinfo

        def look_up(host, port, *args, **options):
            return answers if host == "localhost" else real(host, port, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        assert transport.send("GET", f"http://localhost:{server.port}/").status == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself: a file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_server(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with raw_server(tls=context) as server:
        server.plays = [server.answer(OK)]
        yield server


@pytest.fixture
def _trusted(certificate, monkeypatch):
    """Make the certificate one of this machine's authorities, as an administrator would."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    connecting._tls_context.cache_clear()
    yield
    connecting._tls_context.cache_clear()


class TestTls:
    @pytest.mark.usefixtures("_trusted")
    def test_to_a_trusted_server_works(self, tls_server, transport):
        assert transport.send("POST", tls_server.url, body=b"pay").body == b"hello"

    def test_to_a_server_that_nobody_vouches_for_sends_nothing(self, tls_server, transport):
        with pytest.raises(NotSent, match="certificate is not valid") as caught:
            transport.send("POST", tls_server.url, body=b"pay")
        assert caught.value.reason == "unreachable"
        assert tls_server.requests == []

    @pytest.mark.usefixtures("_trusted")
    def test_to_a_server_with_another_name_sends_nothing(self, tls_server, transport):
        with pytest.raises(NotSent, match="certificate is not valid"):
            transport.send("POST", f"https://localhost:{tls_server.port}/", body=b"pay")
        assert tls_server.requests == []

    def test_to_a_server_that_speaks_no_tls_sends_nothing(self, server, transport):
        server.plays = [lambda connection: connection.sendall(b"220 mail.example.com\r\n")]
        with pytest.raises(NotSent, match="TLS failed"):
            transport.send("POST", f"https://127.0.0.1:{server.port}/", body=b"pay")

    def test_to_a_server_that_does_not_shake_hands_sends_nothing(self, server, hasty):
        server.plays = [lambda connection: server.ended.wait(30)]
        with pytest.raises(NotSent, match="timed out"):
            hasty.send("POST", f"https://127.0.0.1:{server.port}/", body=b"pay")

    @pytest.mark.usefixtures("_trusted")
    def test_drips_end_by_the_clock(self, tls_server, hasty):
        tls_server.plays = [tls_server.drip(b"HTTP/1.1 200 OK\r\n" + b"X" * 1000)]
        with pytest.raises(OutcomeUnknown):
            hasty.send("POST", tls_server.url, body=b"pay")


class TestKeptConnection:
    def test_is_shared_by_reads(self, server, transport):
        for _ in range(3):
            transport.send("GET", server.url, reuse_connection=True)
        assert (server.connections, len(server.requests)) == (1, 3)

    def test_is_never_used_for_money(self, server, transport):
        transport.send("GET", server.url, reuse_connection=True)
        transport.send("POST", server.url, body=b"pay")
        transport.send("POST", server.url, body=b"pay")
        assert server.connections == 3
        assert all(b"Connection: close" in request for request in server.requests[1:])

    def test_that_was_closed_meanwhile_is_replaced_once(self, server, transport):
        server.plays = [server.answer(OK), server.answer(OK)]
        transport.send("GET", server.url, reuse_connection=True)
        assert transport.send("GET", server.url, reuse_connection=True).status == 200
        assert server.connections == 2
        errors = [exchange.error for exchange in transport.take_exchanges()]
        assert errors[0] == errors[2] == ""
        assert errors[1] != ""

    def test_that_fails_again_is_not_tried_a_third_time(self, server, transport):
        server.plays = [server.answer(OK), server.answer(b"")]
        transport.send("GET", server.url, reuse_connection=True)
        with pytest.raises(OutcomeUnknown):
            transport.send("GET", server.url, reuse_connection=True)
        assert server.connections == 2

    def test_that_answered_in_part_is_not_tried_again(self, server, transport):
        server.plays = [server.answer(OK, OK[:-1])]
        transport.send("GET", server.url, reuse_connection=True)
        with pytest.raises(OutcomeUnknown, match="broke off"):
            transport.send("GET", server.url, reuse_connection=True)
        assert server.connections == 1

    def test_that_stays_silent_is_not_tried_again(self, server, hasty):
        def answer_once(connection: socket.socket) -> None:
            server.answer(OK)(connection)
            server.silence(connection)

        server.plays = [answer_once]
        hasty.send("GET", server.url, reuse_connection=True)
        with pytest.raises(OutcomeUnknown, match="timed out"):
            hasty.send("GET", server.url, reuse_connection=True)
        assert server.connections == 1

    def test_is_given_up_where_the_server_says_so(self, server, transport):
        closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        server.plays = [server.answer(closing)]
        transport.send("GET", server.url, reuse_connection=True)
        transport.send("GET", server.url, reuse_connection=True)
        assert server.connections == 2
        assert all(not exchange.error for exchange in transport.exchanges)

    def test_belongs_to_one_address(self, server, transport):
        with raw_server() as other:
            other.plays = [other.answer(OK)]
            transport.send("GET", server.url, reuse_connection=True)
            transport.send("GET", other.url, reuse_connection=True)
            transport.send("GET", server.url, reuse_connection=True)
        assert (server.connections, other.connections) == (2, 1)


class TestOneDeadline:
    def test_spans_all_calls_inside(self, server, hasty):
        server.plays = [server.answer(OK), server.silence]
        begun = time.monotonic()
        with hasty.one_deadline():
            hasty.send("POST", server.url)
            with pytest.raises(OutcomeUnknown):
                hasty.send("POST", server.url)
            with pytest.raises(NotSent, match="no end after"):
                hasty.send("POST", server.url)
        assert time.monotonic() - begun < SHORT + LATE
        assert server.connections == 2

    def test_stands_where_another_is_asked_for_inside(self, server, hasty):
        server.plays = [server.silence]
        with hasty.one_deadline():
            with hasty.one_deadline(), pytest.raises(OutcomeUnknown):
                hasty.send("POST", server.url)
            with pytest.raises(NotSent, match="no end after"):
                hasty.send("POST", server.url)

    def test_ends_with_its_block(self, server, hasty):
        server.plays = [server.silence, server.answer(OK)]
        with hasty.one_deadline(), pytest.raises(OutcomeUnknown):
            hasty.send("POST", server.url)
        assert hasty.send("POST", server.url).status == 200


class TestExchanges:
    def test_tell_what_was_sent_and_answered(self, server, transport):
        server.plays = [
            server.answer(
                b"HTTP/1.1 400 Bad\r\nRequest-Id: req_1\r\nRetry-After: 3\r\nSet-Cookie: a=b\r\n"
                b"Content-Length: 4\r\n\r\nno\xff\x00"
            )
        ]
        response = transport.send(
            "POST",
            f"{server.url}/v1/refunds",
            headers={"Authorization": "Bearer sk_test_secret", "Idempotency-Key": "R1"},
            body=b"amount=5",
        )
        exchange = response.exchange
        assert transport.exchanges == [exchange]
        assert exchange.request == "POST /v1/refunds\nidempotency-key: R1\n\namount=5"
        assert exchange.response == "retry-after: 3\n\nno��"
        assert (exchange.method, exchange.url) == ("POST", f"{server.url}/v1/refunds")
        assert (exchange.status, exchange.request_id, exchange.error) == (400, "req_1", "")
        assert exchange.milliseconds >= 0
        assert exchange.at.tzinfo is not None

    def test_are_taken_once(self, server, transport):
        transport.send("GET", server.url)
        assert len(transport.take_exchanges()) == 1
        assert transport.take_exchanges() == ()

    def test_of_errors_hold_what_went_before(self, server, transport):
        server.plays = [server.answer(OK), server.answer(b"")]
        transport.send("POST", server.url)
        with pytest.raises(OutcomeUnknown) as caught:
            transport.send("POST", server.url)
        assert [exchange.status for exchange in caught.value.exchanges] == [200, None]

    def test_do_not_pile_up(self, server, transport):
        server.plays = [server.answer(*[OK] * (MAX_EXCHANGES_KEPT + 5))]
        for number in range(MAX_EXCHANGES_KEPT + 5):
            transport.send("GET", f"{server.url}/{number}", reuse_connection=True)
        assert len(transport.exchanges) == MAX_EXCHANGES_KEPT
        assert transport.exchanges[-1].url.endswith(f"/{MAX_EXCHANGES_KEPT + 4}")

    def test_never_show_a_secret(self, server, transport):
        body = b'{"echo": "sk_test_secret", "token": "fresh-token"}'
        server.plays = [
            server.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)),
            server.answer(b"sk_test_secret is not HTTP\r\n"),
        ]
        transport.protect("fresh-token")
        url = f"{server.url}/?key=sk_test_secret"
        headers = {"Idempotency-Key": "sk_test_secret"}
        transport.send("POST", url, headers=headers, body=b"sk_test_secret")
        with pytest.raises(OutcomeUnknown) as caught:
            transport.send("POST", url, body=b"a=sk_test_secret")
        with pytest.raises(NotSent):
            transport.send("POST", f"{server.url}/ sk_test_secret")
        shown = f"{transport.exchanges} {caught.value}"
        assert "[secret]" in shown
        assert "sk_test_secret" not in shown
        assert "fresh-token" not in shown


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3), ("", None), ("-1", None), ("1.5", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_retry_after_is_read_where_it_is_a_number(value, seconds):
    assert retry_after({"retry-after": value}) == seconds
    assert retry_after({}) is None
