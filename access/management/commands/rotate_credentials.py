"""``manage.py rotate_credentials``: credentials and second factors under the first key."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from access import factor_secrets
from gateways import envelopes
from gateways.credentials import UNSEALED
from gateways.rotation import Fate, keys_in_use, rotate_all


class Command(BaseCommand):
    help = (
        "Puts the credentials of every account, and the secrets of second factors, under the first "
        "of CREDENTIALS_KEYS. Safe beside the traffic, and to run again. Ends with 1 when one of "
        "them does not open."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--new-data-keys",
            action="store_true",
            help="encrypt all credentials anew, each under a fresh data key",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *, new_data_keys: bool, dry_run: bool, **_options: Any) -> None:
        fates: Counter[Fate] = Counter()
        options = {"new_data_keys": new_data_keys, "dry_run": dry_run}
        for rotated in chain(rotate_all(**options), factor_secrets.rotate_all(**options)):
            fates[rotated.fate] += 1
            match rotated.fate:
                case Fate.RENEWED:
                    word = "would be renewed" if dry_run else "renewed"
                    self.stdout.write(f"{rotated.slug}: {word}, was on key {rotated.key_id}")
                case Fate.UNREADABLE:
                    self.stderr.write(f"{rotated.slug}: {rotated.problem}")
        self.stdout.write(
            f"{fates[Fate.RENEWED]} {'to renew' if dry_run else 'renewed'}, "
            f"{fates[Fate.KEPT]} kept, {fates[Fate.UNREADABLE]} that do not open."
        )
        self._tell_of_keys()
        if fates[Fate.UNREADABLE]:
            sys.exit(1)

    def _tell_of_keys(self) -> None:
        """Which keys are still needed, as the rows say now."""
        first, *others = envelopes.key_ids()
        used = keys_in_use() + factor_secrets.keys_in_use()
        if not set(used) - {first}:
            self.stdout.write(
                f"Everything hangs on the first key ({first}). "
                + ("The other keys can be dropped." if others else "There is no other key.")
            )
            return
        for key_id in sorted(set(others) - set(used)):
            if not used[UNSEALED]:  # one of the keys opens those, and nobody can tell which
                self.stdout.write(f"Key {key_id} can be dropped: nothing hangs on it.")
        for key_id, number in sorted(used.items()):
            if key_id != first:
                self.stdout.write(f"{number} of them on key {key_id}: do not drop it.")
