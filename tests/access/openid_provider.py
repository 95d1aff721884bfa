"""A small OpenID provider on a real socket: one client, and whoever signs in there next.

It does what the specification asks of the code flow with PKCE (OpenID Connect Core 1.0, RFC 7636),
and refuses what is not so.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "refund-desk", "a secret of the two"


class OpenIdProvider:
    """``person`` has the claims of who signs in; ``asked`` the parameters of the last request."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.person = {}
        self.asked = {}
        self.codes = {}
        self.tokens = {}
        self.is_broken = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.answer(self, dict(parse_qs(urlsplit(self.path).query)))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.answer(self, dict(parse_qs(body)))

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request, values):
        pages = {
            "/.well-known/openid-configuration": self.configuration,
            "/authorize": self.authorize,
            "/token": self.token,
            "/userinfo": self.userinfo,
            "/keys": self.keys,
        }
        page = pages.get(urlsplit(request.path).path)
        if page is None or self.is_broken:
            return send(request, 500, {"error": "server_error"})
        return page(request, {name: each[0] for name, each in values.items()})

    def configuration(self, request, _values):
        paths = {
            "authorization_endpoint": "authorize", "token_endpoint": "token",
            "userinfo_endpoint": "userinfo", "jwks_uri": "keys",
        }  # fmt: skip
        send(request, 200, {
            "issuer": self.issuer,
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{name: f"{self.issuer}/{path}" for name, path in paths.items()},
        })  # fmt: skip

    def authorize(self, request, values):
        self.asked = values
        well_asked = (
            values.get("client_id") == CLIENT_ID
            and values.get("response_type") == "code"
            and values.get("code_challenge_method") == "S256"
            and "openid" in values.get("scope", "").split()
        )
        if not well_asked:
            return send(request, 400, {"error": "invalid_request"})
        answer = {"state": values["state"]}
        if self.person:
            code = secrets.token_urlsafe(16)
            self.codes[code] = values, dict(self.person)
            answer["code"] = code
        else:
            answer["error"] = "access_denied"
        request.send_response(302)
        request.send_header("Location", f"{values['redirect_uri']}?{urlencode(answer)}")
        request.end_headers()
        return None

    def token(self, request, values):
        asked, person = self.codes.pop(values.get("code"), ({}, {}))
        digest = hashlib.sha256(values.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            values.get("client_secret") != CLIENT_SECRET
            or challenge != asked.get("code_challenge")
            or values.get("redirect_uri") != asked.get("redirect_uri")
        ):
            return send(request, 400, {"error": "invalid_grant"})
        token = secrets.token_urlsafe(16)
        self.tokens[token] = person
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 60, **person}
        id_token = jwt.encode(claims, self.key, "RS256", headers={"kid": "one"})
        return send(
            request, 200, {"access_token": token, "token_type": "Bearer", "id_token": id_token}
        )

    def userinfo(self, request, _values):
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            return send(request, 401, {"error": "invalid_token"})
        return send(request, 200, self.tokens[token])

    def keys(self, request, _values):
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        send(request, 200, {"keys": [key | {"kid": "one", "use": "sig", "alg": "RS256"}]})


def send(request, status, document):
    body = json.dumps(document).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
