#!/usr/bin/env python
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from refunds_site import embedded


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "refunds_site.settings")
    # While a demo runs, its commands need no more than its DATA_DIR.
    data_dir = Path(os.environ.get("DATA_DIR") or Path(__file__).parent / ".data")
    said_nothing = os.environ.keys().isdisjoint({"DEBUG", "SECRET_KEY", "DATABASE_URL"})
    if said_nothing and embedded.read_urls(data_dir):
        os.environ["DEBUG"] = "1"
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
