``PeerProtocol`` and ``PeerFactory`` are to be subclassed: they tell of the verified peer and of changes of path, and let a program decide, also by a ``Deferred``, who may connect.
