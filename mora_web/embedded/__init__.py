"""The servers of the embedded default and their supervisor.

`postgres` runs the database of a clone, `supervisor` everything that `manage.py up` serves.
Nothing here imports Django, so that it works before settings do.
"""
