"""Approvers hear by e-mail what waits for them, over a real SMTP server."""

from __future__ import annotations

import email
import socket
from email import policy

import pytest
from aiosmtpd.controller import Controller

from access.models import Profile
from refunds.approval_mail import tell_approvers
from refunds.approvals import approve_refund
from refunds.models import ApprovalRule, RuleKind
from tests.rest import make_person, make_transaction

pytestmark = pytest.mark.django_db

BAD = "gone@example.com"


class Mailbox:
    """Keeps every message; refuses one address."""

    def __init__(self) -> None:
        self.messages: list[email.message.EmailMessage] = []

    async def handle_RCPT(  # noqa: N802
        self, server, session, envelope, address, options
    ):
        if address == BAD:
            return "550 There is nobody of that name here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server, session, envelope
    ):
        self.messages.append(email.message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def to(self, address: str) -> list[email.message.EmailMessage]:
        return [each for each in self.messages if each["To"] == address]


@pytest.fixture
def mailbox(settings):
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.SITE_URL = "https://refunds.example.com"
    yield box
    server.stop()


@pytest.fixture
def zoe():
    return make_person("approver", email="zoe@example.com")


@pytest.fixture
def manager():
    """Has no address, and hears nothing."""
    return make_person("manager")


@pytest.fixture
def always(manager):
    """Every refund needs a second person."""
    return ApprovalRule.objects.create(currency="USD", value=0, made_by=manager)


def test_what_waits_is_told_once_and_together(ask, always, zoe, mailbox):
    first, second = ask(make_transaction(), 1_000), ask(make_transaction(), 250)
    assert tell_approvers() == 2
    [mail] = mailbox.to("zoe@example.com")
    assert mail["Subject"] == "2 refunds wait for your approval"
    text = mail.get_content()
    for refund in (first, second):
        assert f"{refund.amount} · {refund.account} · {refund.transaction.external_id}" in text
    assert "because it is more than 0.00 USD." in text
    assert "https://refunds.example.com/admin/refunds/refund/approvals/" in text
    assert tell_approvers() == 0
    assert len(mailbox.messages) == 1
    assert first.events.get(kind="approvers_told").data == {"people": 1}


def test_who_asked_does_not_hear_of_it_and_neither_does_who_may_not(ask, always, zoe, mailbox):
    make_person("agent", email="agent@example.com")
    small = make_person("approver", email="small@example.com")
    asks = make_person("manager", email="asks@example.com")
    rule = {"kind": RuleKind.APPROVING, "currency": "USD", "value": 500}
    ApprovalRule.objects.create(person=small, made_by=always.made_by, **rule)
    ask(make_transaction(), 1_000, requested_by=asks)
    tell_approvers()
    assert [each["To"] for each in mailbox.messages] == ["zoe@example.com"]


def test_it_is_in_the_language_of_the_person(ask, always, zoe, mailbox):
    Profile.objects.create(user=zoe, language="pl")
    ask(make_transaction(), 1_000)
    tell_approvers()
    [mail] = mailbox.messages
    assert mail["Subject"] != "A refund waits for your approval"
    assert "because it is more than" not in mail.get_content()


def test_an_address_that_is_refused_keeps_nobody_else_from_it(ask, always, zoe, mailbox):
    make_person("approver", email=BAD)
    ask(make_transaction(), 1_000)
    assert tell_approvers() == 1
    assert len(mailbox.to("zoe@example.com")) == 1
    assert tell_approvers() == 0


def test_while_the_server_is_away_nothing_counts_as_told(ask, always, zoe, mailbox, settings):
    ask(make_transaction(), 1_000)
    port = settings.EMAIL_PORT
    settings.EMAIL_PORT = 1  # nobody listens there
    assert tell_approvers() == 0
    settings.EMAIL_PORT = port
    assert tell_approvers() == 1


def test_what_is_decided_already_is_told_to_nobody(ask, always, zoe, mailbox):
    approve_refund(ask(make_transaction(), 1_000), actor=zoe)
    assert tell_approvers() == 0
    assert not mailbox.messages


def test_without_anybody_to_tell_no_server_is_needed(ask, always, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    ask(make_transaction(), 1_000)
    assert tell_approvers() == 1


def test_what_waits_since_before_there_were_rules_is_told_as_well(ask, always, zoe, mailbox):
    """The event of a refund that was asked for by the version before has a sentence and no rules."""
    from refunds.models import RefundEvent

    from .raw import triggers_off

    old = ask(make_transaction(), 1_000)
    event = old.events.get(kind="requested")
    data = {name: value for name, value in event.data.items() if name != "rules"}
    with triggers_off():
        RefundEvent.objects.filter(pk=event.pk).update(data=data)
    ask(make_transaction(), 250)
    assert tell_approvers() == 2
    [mail] = mailbox.to("zoe@example.com")
    assert "because it is more than 0.00 USD." in mail.get_content()


def test_an_address_that_is_refused_after_the_text_keeps_nobody_else_from_it(
    ask, always, zoe, mailbox, monkeypatch
):
    """Many servers look at the message first. Else the others get the same mail every minute."""
    make_person("approver", email="zz-full@example.com")
    handle = mailbox.handle_DATA

    async def handle_data(server, session, envelope):
        if "zz-full@example.com" in envelope.rcpt_tos:
            return "552 5.2.2 Mailbox full"
        return await handle(server, session, envelope)

    monkeypatch.setattr(mailbox, "handle_DATA", handle_data)
    ask(make_transaction(), 1_000)
    for _minute in range(3):
        tell_approvers()
    assert len(mailbox.to("zoe@example.com")) == 1
