``twisted_p2p.testing`` is a simulated internet in virtual time, with delays, losses and NATs from a seed, that gives each simulated host a Twisted reactor.
