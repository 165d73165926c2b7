"""Local values, their sum, and how wrong the sum can be."""
