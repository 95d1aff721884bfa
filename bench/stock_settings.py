"""The settings of the desk, with Django's own admin in the place of ours."""

from refunds_site.settings import *  # noqa: F403
from refunds_site.settings import INSTALLED_APPS, TEMPLATES

INSTALLED_APPS = [
    *(each for each in INSTALLED_APPS if not each.startswith(("unfold", "refunds_site.apps"))),
    "django.contrib.admin.apps.SimpleAdminConfig",
]
TEMPLATES = [TEMPLATES[0] | {"DIRS": []}]
ROOT_URLCONF = "bench.stock_urls"
