"""Everything again on real NATs: Linux network namespaces, one lab a test."""
