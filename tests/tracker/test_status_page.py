from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from twisted_p2p.tracker.status_page import status_site


class StatusPageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.status: dict[str, Any] = {"nodes": 2, "datagrams_dropped_total": {"rate": 7, "a": 1}}
        self.site = status_site(lambda: self.status)

    def get(self, path: bytes) -> Any:
        request = DummyRequest([path])
        resource = self.site.getResourceFor(request)
        request.render(resource)
        return request

    def body(self, path: bytes) -> str:
        return b"".join(self.get(path).written).decode()

    def test_json_has_the_numbers_of_the_moment(self) -> None:
        self.assertEqual(json.loads(self.body(b"status.json")), self.status)
        self.status["nodes"] = 3
        self.assertEqual(json.loads(self.body(b"status.json"))["nodes"], 3)
        types = self.get(b"status.json").responseHeaders.getRawHeaders("content-type")
        self.assertEqual(types, ["application/json"])

    def test_a_monitor_gets_its_word(self) -> None:
        self.assertEqual(self.body(b"healthz"), "ok\n")

    def test_people_get_lines(self) -> None:
        self.assertEqual(
            self.body(b""),
            "A tracker of twisted_p2p\n\nnodes: 2\ndatagrams_dropped_total: a: 1\n"
            "datagrams_dropped_total: rate: 7\n",
        )

    def test_anything_else_is_not_found(self) -> None:
        self.assertEqual(self.get(b"metrics").responseCode, 404)

    def test_requests_leave_no_line_in_the_log(self) -> None:
        self.assertIsNone(self.site.log(object()))
