"""Calls handlers one after the other as clients of the Python original do, and prints each `detail`.

original_client.py URL QUEUE KEY BODY [KEY BODY ...]
"""

import asyncio
import json
import sys

import aio_pika


async def main(url: str, queue: str, *calls: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        replies = await channel.declare_queue(exclusive=True)
        async with replies.iterator(no_ack=True, timeout=30) as incoming:
            for key, body in zip(calls[::2], calls[1::2]):
                request = aio_pika.Message(
                    body.encode(), headers={"task_name": key}, reply_to=replies.name
                )
                await channel.default_exchange.publish(request, routing_key=queue)
                reply = json.loads((await anext(incoming)).body)
                assert list(reply) == ["detail"], reply
                print(json.dumps(reply["detail"]))


asyncio.run(main(*sys.argv[1:]))
