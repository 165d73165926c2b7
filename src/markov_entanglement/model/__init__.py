"""Nouns: what a user brings. Frozen, copied and validated once."""
