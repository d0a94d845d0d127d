#!/usr/bin/env python3
"""Django's command line for the console. Wrong surroundings end it with one sentence."""

import os
import sys


def main() -> None:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"Python 3.11, 3.12 or 3.13 is needed; this is {sys.version.split()[0]}.")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mora_web.settings")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    from mora_web.embedded.surroundings import SetupError

    try:
        execute_from_command_line(sys.argv)
    except SetupError as error:
        sys.exit(str(error))
    except OperationalError as error:
        cause = str(error).partition("\n")[0]
        sys.exit(f"The database went away or was not there: {cause}. Is the console running?")


if __name__ == "__main__":
    main()
