"""``python -m gateways.sandbox``: the sandbox without Django."""

import sys

from .cli import main

sys.exit(main())
