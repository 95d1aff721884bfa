"""``manage.py demo_data``: a migrated database with the demo's processor accounts and people.

One command, because each process that a demo starts costs its user a second.
"""

import json
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from access.demo import create_people
from gateways.demo import create_accounts


class Command(BaseCommand):
    help = (
        "Migrates the database, creates the demo's processor accounts and people, and prints the "
        "logins as JSON."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--sandbox-url", required=True, help="where the sandbox listens: http://127.0.0.1:8100"
        )
        parser.add_argument(
            "--keep-people", action="store_true", help="leave people alone; print {}"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        create_accounts(options["sandbox_url"])
        logins = {} if options["keep_people"] else create_people()
        self.stdout.write(json.dumps(logins))
