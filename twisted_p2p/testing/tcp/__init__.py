"""TCP of the simulated internet: Twisted's own transports on a TCP of our own."""
