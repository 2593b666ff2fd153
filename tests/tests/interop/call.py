"""Calls handlers, all at once, and prints each reply as JSON, in the order of the calls.

call.py URL QUEUE REPLY_TO KEY BODY [KEY BODY ...], where REPLY_TO is `exclusive` for a queue of its own, or
`amq.rabbitmq.reply-to`.
"""

import asyncio
import json
import sys

import aio_pika


async def main(url: str, queue: str, reply_to: str, *calls: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        if reply_to == "exclusive":
            replies = await channel.declare_queue(exclusive=True)
        else:
            replies = await channel.get_queue(reply_to, ensure=False)
        waiting = {}

        async def take(reply: aio_pika.abc.AbstractIncomingMessage) -> None:
            waiting.pop(reply.correlation_id).set_result(reply)

        await replies.consume(take, no_ack=True)
        futures = []
        for number, (key, body) in enumerate(zip(calls[::2], calls[1::2])):
            future = asyncio.get_running_loop().create_future()
            futures.append(future)
            waiting[f"call-{number}"] = future
            request = aio_pika.Message(
                body.encode(),
                headers={"task_name": key},
                correlation_id=f"call-{number}",
                reply_to=replies.name,
            )
            await channel.default_exchange.publish(request, routing_key=queue)
        for reply in await asyncio.wait_for(asyncio.gather(*futures), 30):
            seen = {
                "is_error": reply.headers.get("ploomby-reply") == "error",
                "content_type": reply.content_type,
                "body": json.loads(reply.body),
            }
            print(json.dumps(seen))


asyncio.run(main(*sys.argv[1:]))
