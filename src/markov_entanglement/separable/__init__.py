"""Decide separability, with a certificate either way."""
