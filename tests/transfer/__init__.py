"""Tests of file transfers."""
