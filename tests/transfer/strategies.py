"""Names, entries and messages for properties."""

from __future__ import annotations

from hypothesis import strategies as st

from twisted_p2p.transfer import wire
from twisted_p2p.transfer.failures import Reason
from twisted_p2p.transfer.manifest import Entry
from twisted_p2p.transfer.names import is_safe

NASTY = (
    *("", ".", "..", "...", "/", "//", "\\", "..\\", "../", "a/../..", "/etc/passwd", "~", "~root"),
    *("C:", "C:\\x", "c:x", "\\\\host\\share", "nul\0", "a\0b", "\n", "a\x1b[2J", "\x7f", "con"),
    *("A" * 255, "A" * 256, "é" * 127, "é" * 128, "x.p2p-0123456789.part", "x.P2P-0123456789.PART"),
    *("\ud800", "\u202e", " ", "-rf", ".hidden", "a:b", "link", "Link", "LINK"),
)
"""Text of which paths are made by those who want to leave the folder."""

names = st.text(max_size=20) | st.sampled_from(NASTY)
paths = st.lists(names, max_size=6).map("/".join) | st.text(max_size=40)
safe_names = names.filter(is_safe)
safe_paths = st.lists(safe_names, min_size=1, max_size=4).map(tuple)

places = st.integers(0, 2**32 - 1)
sizes = st.integers(0, wire.LARGEST_FILE)
digests = st.binary(min_size=32, max_size=32)
files = st.builds(Entry, safe_paths, st.just(False), sizes, sizes, st.booleans())
folders = st.builds(Entry, safe_paths, st.just(True), st.just(0), sizes)
offsets = st.lists(st.integers(1, 2**63), min_size=1, max_size=16, unique=True).map(
    lambda found: tuple(sorted(found))
)
texts = st.text(max_size=50)
messages = st.one_of(
    st.builds(wire.Request, st.integers(0, 255), st.binary(max_size=64)),
    st.builds(wire.Offer, places, st.integers(0, 2**64 - 1), texts, st.integers(0, 255)),
    st.just(wire.Accept()),
    st.builds(wire.Listed, files | folders),
    st.builds(wire.Compare, places, offsets),
    st.builds(wire.Digests, places, st.lists(digests, min_size=1, max_size=16).map(tuple)),
    st.builds(wire.Start, places, st.integers(0, 2**64 - 1)),
    st.just(wire.Begin()),
    st.builds(wire.Data, st.binary(min_size=1, max_size=50)),
    st.builds(wire.Hole, st.integers(1, wire.LONGEST_HOLE)),
    st.builds(wire.FileEnd, digests),
    st.builds(wire.Finished, digests),
    st.builds(wire.Confirmed, digests),
    st.builds(wire.Failed, st.sampled_from(Reason), texts),
)
