"""Named systems with known facts, one registered record each."""
