"""Trajectories: simulated and logged."""
