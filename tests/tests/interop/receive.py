"""Takes a message from a queue and prints what Python sees of it, as JSON: receive.py URL QUEUE."""

import asyncio
import json
import sys

import aio_pika

PROPERTIES = [
    "content_type",
    "content_encoding",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
]


async def main(url: str, queue: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        consumed = await channel.get_queue(queue)
        message = await consumed.get(no_ack=True)
        properties = {name: getattr(message, name) for name in PROPERTIES}
        properties["delivery_mode"] = int(message.delivery_mode)
        seen = {
            "body": message.body.decode(),
            "properties": {name: repr(value) for name, value in properties.items()},
            "headers": {name: repr(value) for name, value in message.headers.items()},
        }
        print(json.dumps(seen))


asyncio.run(main(*sys.argv[1:]))
