"""Restless bandits in count space: simulate, enumerate, mean field, indices."""
