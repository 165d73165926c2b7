"""Gymnasium's Taxi, read as what its state number holds: row, column, passenger, destination."""

import gymnasium

import markov_entanglement as me


def taxi():
    """The driver's six actions belong to the row; the other three parts have no action of their own."""
    env = gymnasium.make("Taxi-v4")
    return me.from_gymnasium(env, n_states=(5, 5, 5, 4), n_actions=(6, 1, 1, 1), discount=0.95), "uniform"
