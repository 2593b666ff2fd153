"""Handles messages as the Python original does with `rpc=True`: original_server.py URL QUEUE.

A reply is `{"detail": TEXT}`, with the value as JSON or the text of the error, without any property.
"""

import asyncio
import json
import sys

import aio_pika


def fail(_) -> None:
    raise ValueError("no luck")


HANDLERS = {
    "add": lambda numbers: sum(numbers),
    "echo": lambda value: value,
    "nothing": lambda _: None,
    "fail": fail,
    "cannot_be_json": lambda _: {1, 2},
}


async def main(url: str, queue: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        consumed = await channel.declare_queue(queue, durable=True)

        async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            try:
                handler = HANDLERS[message.headers["task_name"]]
                result = handler(json.loads(message.body))
                try:
                    answer = json.dumps(result)
                except TypeError as error:
                    answer = str(error)
            except Exception as error:
                answer = str(error)
            await message.ack()
            reply = aio_pika.Message(json.dumps({"detail": answer}).encode())
            # not mandatory, so that RabbitMQ does not return what goes to a direct reply-to
            await channel.default_exchange.publish(
                reply, routing_key=message.reply_to, mandatory=False
            )

        await consumed.consume(handle)
        print("ready", flush=True)
        await asyncio.Future()


asyncio.run(main(*sys.argv[1:]))
