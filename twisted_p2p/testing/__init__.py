"""A simulated internet in virtual time, for this package's tests and its users'."""
