"""Learners as folds over the steps of runs."""
