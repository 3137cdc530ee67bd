"""How the documentation is built."""

import re
from enum import Enum
from importlib.metadata import version as installed_version

from attrs import fields_dict

project = "twisted_p2p"
author = "The twisted_p2p authors"
copyright = "2026, The twisted_p2p authors"
release = installed_version("twisted_p2p")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
# Docstrings name private things too; those stay without a link, and are no warning.
default_role = "py:obj"
html_theme = "alabaster"
html_theme_options = {
    "description": "Peer-to-peer networking for Twisted",
    "fixed_sidebar": True,
    "page_width": "1180px",  # a hundred columns of code beside the sidebar
}
exclude_patterns = ["_build"]


def _readable(app, what, name, obj, options, signature, returned):
    """Print interfaces by their names, and the defaults of attrs classes by their values."""

    def default(found):
        value = fields_dict(obj)[found[1]].default
        return str(value) if isinstance(value, Enum) else repr(value)

    def named(text):
        return text and re.sub(r"~?<InterfaceClass [\w.]*?(\w+)>", r"\1", text)

    signature = signature and re.sub(r"attr_dict\['(\w+)'\]\.default", default, signature)
    return named(signature), named(returned)


def setup(app):
    """Have Sphinx print each signature like that."""
    app.connect("autodoc-process-signature", _readable)
