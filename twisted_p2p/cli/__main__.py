"""``python -m twisted_p2p.cli`` is ``p2p``."""

from .main import main

main()
