"""The pure modules: those that an import contract in pyproject.toml keeps from input and output.

``complete`` ends with a sentence when a module that could be on that list is not;
``coverage`` reports what the tests left out of them, and ends with a sentence if that is anything.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

PACKAGE = "twisted_p2p"

# Their modules touch the world by means that are nobody else's: the terminal, the system's
# programs, and in `testing` a whole simulated world.
OUTER = ("cli", "network_namespaces", "node", "testing")


def contract() -> dict[str, Any]:
    """Return the import contract of the pure modules, from the folder that this runs in."""
    settings = tomllib.loads(Path("pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (forbidden,) = (contract for contract in contracts if contract["type"] == "forbidden")
    return forbidden


def complete() -> str | None:
    """Return a sentence if a module is missing from the contract though it would keep it."""
    import grimp  # noqa: PLC0415  (each command runs where only its own tool is installed)

    rules = contract()
    graph = grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)
    for edge in rules["ignore_imports"]:
        importer, imported = edge.split(" -> ")
        graph.remove_import(importer=importer, imported=imported)
    listed = set(rules["source_modules"])
    for module in rules["source_modules"]:
        listed |= graph.find_descendants(module)
    worldly = {f"{PACKAGE}.{package}" for package in OUTER}
    for package in frozenset(worldly):
        worldly |= graph.find_descendants(package)
    for module in set(rules["forbidden_modules"]) & graph.modules:
        worldly |= graph.find_downstream_modules(module)
    ours = {PACKAGE} | graph.find_descendants(PACKAGE)
    missing = {module for module in ours - listed - worldly if not graph.find_children(module)}
    if not missing:
        return None
    return f"Pure, so to be listed in pyproject.toml's contract: {', '.join(sorted(missing))}."


def coverage() -> str | None:
    """Report the lines and branches that were not run; return a sentence if there are any."""
    from coverage import Coverage  # noqa: PLC0415  (as above)

    paths = [module.replace(".", "/") for module in contract()["source_modules"]]
    measured = Coverage()
    measured.load()
    total = measured.report(
        include=[f"*/{path}{ending}" for path in paths for ending in (".py", "/*")],
        skip_covered=True,
        show_missing=True,
    )
    sys.stdout.flush()  # before the sentence, wherever the two are written to
    return None if total == 100 else "Each line and branch of a pure module needs a test."


if __name__ == "__main__":
    sys.exit({"complete": complete, "coverage": coverage}[sys.argv[1]]())
