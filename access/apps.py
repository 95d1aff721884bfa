from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccessConfig(AppConfig):
    name = "access"
    verbose_name = _("Access")

    def ready(self) -> None:
        from . import checks, factor_secrets, sign_in_events, single_sign_on  # noqa: F401  checks register
        from .roles import create_roles

        factor_secrets.connect()
        sign_in_events.connect()
        single_sign_on.connect()
        post_migrate.connect(create_roles, dispatch_uid="access.roles")
