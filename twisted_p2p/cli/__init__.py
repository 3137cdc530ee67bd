"""The `p2p` command; one module a command, thin over the node."""
