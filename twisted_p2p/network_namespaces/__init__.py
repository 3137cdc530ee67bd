"""Real NATs on one Linux machine, made of network namespaces, for ``p2p demo`` and tests/kernel.

Namespaces here have no names: each is held by a small process that ends with the process which
made it, however that one ends, and the kernel removes the rest.  So nothing is ever left behind
and any number of labs stand side by side.
"""
