"""Peer-to-peer networking for Twisted programs."""
