"""Verbs: everything that people and scripts may change, one module a noun."""
