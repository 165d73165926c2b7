"""Experiments as data: settings, run, score. The paper's figures, and one that the paper does not have."""
