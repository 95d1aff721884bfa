"""Getting in as a browser does: the login page, the second step, codes of an authenticator app."""

import base64
import hashlib
import hmac
import re
import struct
import time

from allauth.mfa.models import Authenticator

from tests.pages import visible
from tests.rest import make_person

LOGIN = "/admin/login/"
SECOND_STEP = "/admin/login/second-step/"
PROVE = "/admin/prove/"
SECURITY = "/admin/security/"
PASSWORD = "not a secret"  # of make_person


def log_in(client, name, password=PASSWORD, **more):
    return client.post(LOGIN, {"username": name, "password": password, **more})


def totp(secret, *, steps=0):
    """The code that an app shows (RFC 6238), now or some half minutes from now."""
    counter = struct.pack(">Q", int(time.time()) // 30 + steps)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def add_app(client):
    """Add an authenticator app on the pages; its secret, and the recovery codes that are shown."""
    page = client.get(f"{SECURITY}app/add/")
    secret = page.context["form"].secret
    answer = client.post(f"{SECURITY}app/add/", {"code": totp(secret)}, follow=True)
    return secret, re.findall(r"<li><code>(\d+)</code>", answer.content.decode())


def with_app(client, role="agent", **fields):
    """Somebody with an authenticator app, signed out: the person, the secret, the codes."""
    person = make_person(role, **fields)
    client.force_login(person)
    secret, codes = add_app(client)
    client.logout()
    assert Authenticator.objects.filter(user=person, type="totp").exists()
    return person, secret, codes


def is_in(client):
    return client.get("/admin/").status_code == 200


def age(client, **seconds):
    """Make moments that the session remembers so much older."""
    session = client.session
    for name, older in seconds.items():
        session[name] -= older
    session.save()


def said(response):
    return visible(response)
