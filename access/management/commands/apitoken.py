"""``manage.py apitoken``: tokens for programs that call the REST API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from access.models import ApiToken, Scope
from audit.kinds import Kind
from audit.log import record
from gateways.card_numbers import holds_card_number
from gateways.models import ProcessorAccount


class Command(BaseCommand):
    help = "Creates, lists and revokes API tokens."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="create|list|revoke")
        create = actions.add_parser("create", help="create a token and print it, once")
        create.add_argument("name", help="what it is for")
        create.add_argument("--user", required=True, help="whose rights it has")
        create.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            dest="scopes",
            help="what it may do, several times for several things; all of it when left out",
        )
        create.add_argument(
            "--account",
            action="append",
            default=[],
            dest="accounts",
            help="the only account it sees, several times for several; all when left out",
        )
        actions.add_parser("list", help="list the tokens")
        revoke = actions.add_parser("revoke", help="make a token useless, for good")
        revoke.add_argument("name")

    def handle(self, *_args: Any, action: str, **options: Any) -> None:
        getattr(self, f"handle_{action}")(**options)

    def handle_create(
        self, *, name: str, user: str, scopes: list[str] | None, accounts: list[str], **_: Any
    ) -> None:
        person = User.objects.filter(username=user).first()
        if person is None:
            raise CommandError(f"There is no user {user}.")
        if not (person.is_active and person.is_staff):
            raise CommandError(
                f"{user} may not use the staff site, so a token of theirs is useless."
            )
        if not name.strip() or len(name) > 100:
            raise CommandError("A token's name has 1 to 100 characters.")
        if holds_card_number(name):
            raise CommandError("The name looks like a card number. Choose another one.")
        if ApiToken.objects.filter(name=name).exists():
            raise CommandError(f"There is a token {name} already. Choose another name.")
        limited_to = [_find_account(slug) for slug in accounts]
        token = ApiToken(name=name, user=person, scopes=scopes or Scope.values)
        key = token.issue()
        with transaction.atomic():
            token.save()
            token.accounts.set(limited_to)
            record(Kind.TOKEN_MADE, actor=None, about=token, data=token.facts())
        self.stderr.write(f"Token {name} of {user}. It is shown this once only:")
        self.stdout.write(key)

    def handle_list(self, **_options: Any) -> None:
        tokens = ApiToken.objects.select_related("user").prefetch_related("accounts")
        if not tokens:
            self.stdout.write("There are no tokens yet.")
        for token in tokens:
            self.stdout.write(f"{token.name}  {' · '.join(_describe(token))}")

    def handle_revoke(self, *, name: str, **_options: Any) -> None:
        token = ApiToken.objects.filter(name=name).first()
        if token is None:
            raise CommandError(f"There is no token {name}.")
        if token.revoked_at is None:
            with transaction.atomic():
                token.revoke()
                record(Kind.TOKEN_REVOKED, actor=None, about=token, data=token.facts())
        self.stdout.write(f"Token {name} is revoked.")


def _find_account(slug: str) -> ProcessorAccount:
    account = ProcessorAccount.objects.filter(slug=slug).first()
    if account is None:
        raise CommandError(f"There is no account {slug}.")
    return account


def _describe(token: ApiToken) -> list[str]:
    accounts = ", ".join(account.slug for account in token.accounts.all())
    return [
        token.user.username,
        ", ".join(token.scopes),
        accounts or "all accounts",
        f"last used {token.last_used_at:%Y-%m-%d %H:%M} UTC"
        if token.last_used_at
        else "never used",
        *([f"revoked {token.revoked_at:%Y-%m-%d %H:%M} UTC"] if token.revoked_at else []),
    ]
