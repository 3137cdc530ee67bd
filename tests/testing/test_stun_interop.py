"""Another STUN implementation reads what the STUN server answers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import leave_out
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.testing.stun_service import STUNService

try:
    from aioice import stun as aioice_stun
except ImportError:
    aioice_stun = None

PRIMARY = HostPort("11.0.0.1", 3478)
ALTERNATE = HostPort("11.0.0.2", 3479)
CLIENT = HostPort("11.0.1.1", 5000)


class AIOICETests(SynchronousTestCase):
    def test_its_request_is_answered_and_the_answer_read(self) -> None:
        if aioice_stun is None:
            leave_out("The Python package aioice is missing.")
        request = aioice_stun.Message(
            message_method=aioice_stun.Method.BINDING, message_class=aioice_stun.Class.REQUEST
        )
        request.add_fingerprint()
        service = STUNService(PRIMARY, ALTERNATE)
        service.receive_datagram(bytes(request), DatagramPath(PRIMARY, CLIENT), 0.0)
        ((answer, _),) = service.datagrams_to_send(0.0)
        parsed = aioice_stun.parse_message(answer)
        self.assertEqual(parsed.transaction_id, request.transaction_id)
        self.assertEqual(parsed.attributes["XOR-MAPPED-ADDRESS"], CLIENT)
        self.assertEqual(parsed.attributes["OTHER-ADDRESS"], ALTERNATE)
