"""A program for a machine of a lab: python-zeroconf, telling in JSON lines what it finds.

``announce`` is followed by the name of an instance, its address, and strings of its text record.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Any

from zeroconf import ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

SERVICE = "_p2p._udp.local."
PORT = 4711


def say(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, "time": time.monotonic(), **facts}), flush=True)  # noqa: T201


class Listener(ServiceListener):
    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        info = zc.get_service_info(type_, name)
        assert info is not None, name
        text = {
            key.decode(): value.decode()
            for key, value in info.properties.items()
            if value is not None
        }
        say(
            "found",
            instance=name.removesuffix("." + SERVICE),
            addresses=info.parsed_scoped_addresses(),
            port=info.port,
            text=text,
        )

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        say("lost", instance=name.removesuffix("." + SERVICE))

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Whatever has changed is of no interest."""


def main(command: str, instance: str = "", address: str = "", *text: str) -> None:
    # Before there are other threads, which would end with it at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    zeroconf = Zeroconf()
    say("started")
    if command == "browse":
        ServiceBrowser(zeroconf, SERVICE, Listener())
    else:
        info = ServiceInfo(
            SERVICE,
            f"{instance}.{SERVICE}",
            PORT,
            properties=dict(each.split("=", 1) for each in text),
            parsed_addresses=[address],
            server=f"zeroconf-{PORT}.local.",
        )
        zeroconf.register_service(info)
        say("announced", instance=instance)
    signal.sigwait({signal.SIGTERM})
    zeroconf.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
