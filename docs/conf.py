"""How the documentation is built."""

from importlib.metadata import version as installed_version

project = "twisted_p2p"
author = "The twisted_p2p authors"
copyright = "2026, The twisted_p2p authors"
release = installed_version("twisted_p2p")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
default_role = "any"
nitpicky = False
html_theme = "alabaster"
html_theme_options = {"description": "Peer-to-peer networking for Twisted", "fixed_sidebar": True}
exclude_patterns = ["_build"]
