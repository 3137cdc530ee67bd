``twisted_p2p.testing`` is a simulated internet in virtual time, with delays, losses and NATs from a seed, that gives each simulated host a Twisted reactor.
``connected_pair()`` gives two nodes behind NATs in one line, and ``SimulatedInternetMixin`` makes failing tests tell their seed and the packets on the wire.
