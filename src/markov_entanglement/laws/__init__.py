"""The narrow waist: rows (key, weight, law) per agent, whatever they came from."""
