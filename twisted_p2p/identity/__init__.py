"""Who a peer is: keys on disk, peer IDs and signed records."""
