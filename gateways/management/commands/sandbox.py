"""``manage.py sandbox``: four payment processors that move no money."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from gateways.sandbox.cli import add_arguments, serve


class Command(BaseCommand):
    help = "Serves the four provider dialects for demos, training and tests."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        names = ("host", "port", "seed", "payments", "state")
        code = serve(**{name: options[name] for name in names})
        if code:
            sys.exit(code)
