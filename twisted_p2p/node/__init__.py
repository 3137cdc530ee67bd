"""The facade: one node that dials, accepts and registers."""
