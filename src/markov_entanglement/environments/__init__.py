"""Other people's environments: one face, snapshots that are checked, recorded runs, exact tables."""
