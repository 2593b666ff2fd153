"""Publishes over AMQP 1.0, with a property of each kind: publish_amqp_1_0.py URL ADDRESS BODY."""

import sys
import uuid

from proton import Message, int32, symbol, timestamp, ubyte
from proton.utils import BlockingConnection


def main(url: str, address: str, body: str) -> None:
    connection = BlockingConnection(url, allowed_mechs="PLAIN", timeout=30)
    sender = connection.create_sender(address)
    message = Message(
        id=uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
        user_id=b"guest",
        subject="caf\u00e9",
        # not a number: RabbitMQ 3.10 fails to deliver that to any client of AMQP 0.9.1
        correlation_id=uuid.UUID("ffffffff-0000-ffff-0000-ffffffffffff"),
        content_type=symbol("application/json"),
        durable=True,
        priority=ubyte(3),
        group_id="caf\u00e9",
        group_sequence=7,
        creation_time=1_700_000_000,
        annotations={symbol("x-opt-note"): "\u00e9", symbol("x-opt-bytes"): b"\xff\xfe"},
        properties={
            "name": "caf\u00e9",
            "number": int32(-7),
            "bytes": b"\xe9\x00\xff",
            # no UUID: RabbitMQ 4.0 fails to deliver that to any client of AMQP 0.9.1
            "when": timestamp(1_700_000_000_000),
        },
        body=body.encode(),
        inferred=True,
    )
    sender.send(message)
    connection.close()


main(*sys.argv[1:])
