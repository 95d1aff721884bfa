from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CampaignsConfig(AppConfig):
    name = "campaigns"
    verbose_name = _("Campaigns")

    def ready(self) -> None:
        from refunds.erasure import customer_erased

        from .erasure import erase_from_campaigns

        customer_erased.connect(erase_from_campaigns)
