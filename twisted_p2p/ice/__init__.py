"""Finding a path that works (RFC 8445), and knowing that it still does (RFC 7675)."""
