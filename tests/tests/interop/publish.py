"""Publishes to a queue as programs in Python do: publish.py URL QUEUE."""

import asyncio
import sys
from datetime import datetime, timezone
from decimal import Decimal

import aio_pika


async def main(url: str, queue: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()

        async def publish(body: bytes, headers: dict, **properties) -> None:
            message = aio_pika.Message(body, headers=headers, **properties)
            await channel.default_exchange.publish(message, routing_key=queue)

        await publish(b'{"name": "Ada"}', {"task_name": "create_user"})
        await publish(b'[1, 2]', {"task_name": "add"}, content_type="application/json")
        await publish(b"7", {"task_name": 42})
        everything = {
            "task_name": "create_user",
            "nested": {"list": [1, "two", None, {"three": 3.5}], "empty": {}},
            "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
            "price": Decimal("3.14"),
            "bytes": bytearray(b"\xff\x00"),
            "big": 2**40,
            "yes": True,
            "none": None,
        }
        await publish(
            b'{"name": "Grace"}',
            everything,
            correlation_id="c-1",
            message_id="m-1",
            user_id="guest",
            expiration=60,
            priority=5,
        )
        await publish(b'{"name": ', {"task_name": "create_user"})
        await publish(b'{"name": 1}', {})
        await publish(b'{"name": 2}', {"task_name": "nobody"})
        await publish(b'{"name": 3}', everything | {"task_name": [1]})


asyncio.run(main(*sys.argv[1:]))
