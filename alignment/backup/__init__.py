"""Backups: one file with every table and every artifact, and the way back from it.

`archive` is the file, `tables` the database in it; `services.backups` makes and restores one.
"""
