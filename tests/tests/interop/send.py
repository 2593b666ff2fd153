"""Publishes one message with all that aio-pika can put into it: send.py URL QUEUE."""

import asyncio
import sys
from datetime import datetime, timezone
from decimal import Decimal

import aio_pika


async def main(url: str, queue: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        message = aio_pika.Message(
            b'{"name": "Ad\xc3\xa9la\xc3\xafde"}',
            headers={
                "void": None,
                "bool": True,
                "i8": 7,
                "i16": -300,
                "u16": 60_000,
                "i32": -70_000,
                "u32": 4_000_000_000,
                "i64": 2**40,
                "f32": 1.5,
                "decimal": Decimal("3.14"),
                "text": "né",
                "bytes": bytearray(b"\xff\x00"),
                "timestamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
                "array": [1, "two", None, [False]],
                "table": {"inner": {"deep": "yes"}},
            },
            content_type="application/json",
            content_encoding="identity",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            priority=5,
            correlation_id="c-1",
            reply_to="answers",
            expiration=60,
            message_id="m-1",
            timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
            type="take",
            user_id="guest",
            app_id="shop",
        )
        await channel.default_exchange.publish(message, routing_key=queue)


asyncio.run(main(*sys.argv[1:]))
