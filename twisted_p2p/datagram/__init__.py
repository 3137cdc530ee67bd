"""Machines that know no socket, and the one driver and socket that serve them all."""
