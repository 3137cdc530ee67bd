"""From a peer ID to an authenticated path."""
