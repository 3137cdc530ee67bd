"""STUN (RFC 8489): the one wire format of this package."""
