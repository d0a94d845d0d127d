"""Nouns: everything that pages, the API and the workers read, one module a noun."""
