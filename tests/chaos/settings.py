"""The console's settings with a witness added: what the processes of a chaos run are started with
(DJANGO_SETTINGS_MODULE=tests.chaos.settings). The product itself holds no switch for tests."""

from mora_web.settings import *  # noqa: F403
from mora_web.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.witness.Witness"]
