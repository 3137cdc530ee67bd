``TrackerClientDatagramProtocol`` and ``TrackerClientFactory`` use a tracker alone: they register, look peers up, watch them and hand boxes over, and tell by hooks.
