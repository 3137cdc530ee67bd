``docs/test-vectors.json`` has the bytes of every message of the wire protocol for fixed keys, for other implementations to compare with.
