``TrackerServerDatagramProtocol`` and ``TrackerServerFactory`` serve a tracker from any program; their hooks decide, also by a ``Deferred``, who may register and who may be introduced.
