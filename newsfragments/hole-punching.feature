``HolePunchProtocol`` is a ``DatagramProtocol`` to be subclassed: ``punch(peer_id)`` finds an authenticated path through NATs for a program's own datagrams, on a port that stays the program's.
