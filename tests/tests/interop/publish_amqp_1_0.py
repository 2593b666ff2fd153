"""Publishes over AMQP 1.0, with a property of each kind: publish_amqp_1_0.py URL ADDRESS KEY BODY."""

import sys
import uuid

from proton import Message, int32, symbol, timestamp, ubyte, ulong
from proton.utils import BlockingConnection


def main(url: str, address: str, key: str, body: str) -> None:
    connection = BlockingConnection(url, allowed_mechs="PLAIN", timeout=30)
    sender = connection.create_sender(address)
    message = Message(
        id=uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
        user_id=b"guest",
        subject="caf\u00e9",
        correlation_id=ulong(2**63 + 5),
        content_type=symbol("application/json"),
        durable=True,
        priority=ubyte(3),
        group_id="group",
        group_sequence=7,
        creation_time=1_700_000_000,
        annotations={symbol("x-opt-note"): "\u00e9", symbol("x-opt-bytes"): b"\xff\xfe"},
        properties={
            "task_name": key,
            "name": "caf\u00e9",
            "number": int32(-7),
            "bytes": b"\xe9\x00\xff",
            "uuid": uuid.UUID("ffeeddcc-bbaa-9988-7766-554433221100"),
            "when": timestamp(1_700_000_000_000),
        },
        body=body.encode(),
        inferred=True,
    )
    sender.send(message)
    connection.close()


main(*sys.argv[1:])
