"""How the documentation is built."""

from importlib.metadata import version as installed_version

project = "twisted_p2p"
author = "The twisted_p2p authors"
copyright = "2026, The twisted_p2p authors"
release = installed_version("twisted_p2p")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
autodoc_member_order = "bysource"
# The docstrings say what is taken and returned; interfaces as types do not print well.
autodoc_typehints = "none"
# Docstrings name private things too; those stay without a link, and are no warning.
default_role = "py:obj"
html_theme = "alabaster"
html_theme_options = {"description": "Peer-to-peer networking for Twisted", "fixed_sidebar": True}
exclude_patterns = ["_build"]
