"""Real NATs on one Linux machine, made of network namespaces."""
