"""Fuzz targets: every decoder gets mutants of good bytes, and may only raise its declared error.

A corpus is a file of good entries in ``corpora``, each a line of a name, a colon and hexadecimal.
``trial tests.fuzz`` tries a few mutants; ``P2P_HYPOTHESIS_PROFILE=fuzz trial tests.fuzz`` tries
20,000 for each target.  What fails is printed, and becomes a test beside the decoder's own.
"""
