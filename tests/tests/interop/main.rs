//! Programs in Python, with aio-pika, at the other end: they publish, handle, call and are called. And what
//! RabbitMQ's own tools see.

mod calls;
mod odd_clients;
mod original;
mod properties;
mod publishing;
mod python;
mod tools;
