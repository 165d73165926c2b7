"""Rows to entanglement."""
