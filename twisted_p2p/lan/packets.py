"""Messages of any length as datagrams that fit into the packets of a link."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from twisted_p2p.lan.records import Message
from twisted_p2p.lan.wire import LARGEST_PACKET, LARGEST_UNICAST, encode_message


def query_datagrams(message: Message) -> Iterator[bytes]:
    """Yield a query in as many datagrams as it takes.

    All but the last say that more known answers follow (RFC 6762, section 7.2).
    """
    rest = message
    while rest.questions or rest.answers or rest.authority:
        data = encode_message(rest)
        if len(data) <= LARGEST_PACKET:
            yield data
            return
        part = _first_part(rest)
        rest = evolve(
            rest,
            questions=rest.questions[len(part.questions) :],
            answers=rest.answers[len(part.answers) :],
            authority=rest.authority[len(part.authority) :],
        )
        yield encode_message(evolve(part, is_truncated=bool(rest.answers)))


def response_datagrams(message: Message) -> Iterator[bytes]:
    """Yield a response in as many datagrams as it takes, the additional records if there is room.

    A record that is too long for a packet has a datagram of its own (section 17).
    """
    rest = message
    while len(data := encode_message(rest)) > LARGEST_PACKET:
        if rest.additional:
            rest = evolve(rest, additional=rest.additional[:-1])
        elif len(rest.answers) > 1:
            part = _first_part(rest)
            rest = evolve(rest, answers=rest.answers[len(part.answers) :])
            yield encode_message(part)
        else:
            break
    yield data


def unicast_datagram(message: Message) -> bytes:
    """Return an answer by unicast DNS, cut to what that takes (section 6.7)."""
    for shorter in (message, evolve(message, additional=())):
        data = encode_message(shorter)
        if len(data) <= LARGEST_UNICAST:
            return data
    return encode_message(evolve(message, is_truncated=True, answers=(), additional=()))


def _first_part(message: Message) -> Message:
    """Return the beginning of a message that fits into a packet, or the least there can be."""
    parts = (message.questions, message.answers, message.authority)
    fits, too_many = 1, sum(map(len, parts))
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if len(encode_message(_beginning(message, middle))) <= LARGEST_PACKET:
            fits = middle
        else:
            too_many = middle
    return _beginning(message, fits)


def _beginning(message: Message, count: int) -> Message:
    """Return a message with its first questions and records alone, so many together."""
    questions = message.questions[:count]
    answers = message.answers[: count - len(questions)]
    authority = message.authority[: count - len(questions) - len(answers)]
    return evolve(message, questions=questions, answers=answers, authority=authority)
