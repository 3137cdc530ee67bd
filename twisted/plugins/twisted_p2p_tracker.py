"""``twistd p2ptracker`` and ``twist p2ptracker``.

Twisted reads this file whenever any plugin is looked for, so it imports Twisted alone; the package
is imported when a tracker is started.
"""

from twisted.application.service import ServiceMaker

service_maker = ServiceMaker(
    "A tracker for twisted_p2p",
    "twisted_p2p.tracker.tap",
    "Remembers which peers are there and introduces them to each other.",
    "p2ptracker",
)
