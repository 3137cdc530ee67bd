"""Peers on one link find each other, with no server: DNS-SD (RFC 6763) over mDNS (RFC 6762)."""
