"""`python -m markov_entanglement` is the command line."""

from .cli.app import run

run()
