"""Gymnasium's CliffWalking, read as what its state number holds: row and column."""

import gymnasium

import markov_entanglement as me


def cliff():
    """The walker's four moves belong to the row; the column has no action of its own."""
    env = gymnasium.make("CliffWalking-v1")
    return me.from_gymnasium(env, n_states=(4, 12), n_actions=(4, 1), discount=0.95), "uniform"
