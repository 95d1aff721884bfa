"""``manage.py account``: processor accounts from the command line."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateways.accounts import (
    change_credentials,
    check_account,
    credential_hints,
    credential_names,
    save_account,
)
from gateways.credentials import hangs_on_first_key, key_id_of
from gateways.errors import GatewayError, Misconfigured
from gateways.models import Mode, Processor, ProcessorAccount


class Command(BaseCommand):
    help = "Adds, changes, lists and checks processor accounts."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|check")
        add = actions.add_parser("add", help="add an account, or change one")
        add.add_argument("slug", help="its name, such as stripe-main")
        add.add_argument("--processor", required=True, choices=Processor.values)
        add.add_argument("--mode", required=True, choices=Mode.values)
        add.add_argument(
            "--credential",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            dest="credentials",
            help="a VALUE of - is read from standard input, one line for each",
        )
        add.add_argument("--base-url", help="another address than the processor's own")
        add.add_argument("--currency", help="where the processor does not name it per payment")
        actions.add_parser("list", help="list the accounts, without secrets")
        check = actions.add_parser("check", help="make one harmless call with the credentials")
        check.add_argument("slug")

    def handle(self, *_args: Any, action: str, **options: Any) -> None:
        try:
            getattr(self, f"handle_{action}")(**options)
        except GatewayError as error:
            raise CommandError(str(error)) from None

    def handle_add(
        self,
        *,
        slug: str,
        processor: str,
        mode: str,
        credentials: list[str],
        base_url: str | None,
        currency: str | None,
        **_options: Any,
    ) -> None:
        account = ProcessorAccount.objects.filter(slug=slug).first()
        word = "changed" if account else "added"
        if account is None:
            account = ProcessorAccount(slug=slug, processor=processor, mode=mode)
        elif (account.processor, account.mode) != (processor, mode):
            raise Misconfigured(
                f"Account {slug} is a {account.mode} account of {account.get_processor_display()}, "
                f"and its transactions belong there. Choose another name for the new one."
            )
        change_credentials(account, _read_credentials(credentials, account))
        if base_url is not None:
            account.base_url = base_url
        if currency is not None:
            account.currency = currency
        save_account(account)
        self.stdout.write(f"Account {slug} is {word}. To try it: manage.py account check {slug}")

    def handle_list(self, **_options: Any) -> None:
        accounts = ProcessorAccount.objects.all()
        if not accounts:
            self.stdout.write("There are no accounts yet. To add one: manage.py account add --help")
        width = max((len(account.slug) for account in accounts), default=0)
        for account in accounts:
            self.stdout.write(f"{account.slug:{width}}  {' · '.join(_describe(account))}")

    def handle_check(self, *, slug: str, **_options: Any) -> None:
        account = ProcessorAccount.objects.filter(slug=slug).first()
        if account is None:
            known = ", ".join(ProcessorAccount.objects.values_list("slug", flat=True))
            raise CommandError(f"There is no account {slug}. Known are: {known or 'none yet'}.")
        self.stdout.write(check_account(account))


def _read_credentials(arguments: Iterable[str], account: ProcessorAccount) -> dict[str, str]:
    values: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            names = ", ".join(credential_names(account.processor))
            # The argument may be the secret itself, so it is not repeated.
            raise Misconfigured(f"Write --credential NAME=VALUE, with NAME one of: {names}.")
        if name in values:
            raise Misconfigured(f"The credential {name} is given twice.")
        values[name] = _read_secret(name) if value == "-" else value
    return values


def _read_secret(name: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{name}: ")
    return sys.stdin.readline().rstrip("\r\n")


def _describe(account: ProcessorAccount) -> list[str]:
    facts = [account.get_processor_display(), account.mode]
    facts += [account.base_url] if account.base_url else []
    facts += [account.currency] if account.currency else []
    try:
        facts += [f"{name} {hint}" for name, hint in credential_hints(account).items()]
        facts += [] if hangs_on_first_key(account) else [_key_of(account)]
    except Misconfigured as error:
        facts.append(str(error))
    facts += [] if account.is_active else ["switched off"]
    facts += [f"paused: {account.paused_reason}"] if account.paused_reason else []
    return facts


def _key_of(account: ProcessorAccount) -> str:
    return f"hangs on key {key_id_of(account)}, not on the first: manage.py rotate_credentials"
