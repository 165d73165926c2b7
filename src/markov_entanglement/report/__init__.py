"""Pure functions from results to text, pictures and HTML."""
