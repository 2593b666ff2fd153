//! A bare socket: what the machine gives to a consumer that does nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, bail};
use ploomby_benches::{
    order::STOPWATCH,
    wire::{BODY, Frame, PROTOCOL, Writer, method},
};
use url::Url;

use crate::Options;

const BUFFER: usize = 1 << 18;
const FRAME_MAX: u32 = 131_072;
const CHANNEL: u16 = 1;

/// Splits frames in place, counts messages, and acknowledges each half of the window.
pub(crate) fn consume(options: &Options) -> anyhow::Result<()> {
    let url = Url::parse(&options.url)?;
    let host = url.host_str().context("the URL names no host")?;
    let mut stream = TcpStream::connect((host, url.port().unwrap_or(5672)))?;
    stream.set_nodelay(true)?;
    stream.write_all(PROTOCOL)?;

    let half = u64::from(options.prefetch).div_ceil(2);
    let (mut tag, mut acked) = (0, 0);
    let mut buffer = vec![0; BUFFER];
    let mut len = 0;
    let mut answers = Writer::default();
    loop {
        let read = stream.read(&mut buffer[len..])?;
        if read == 0 {
            bail!("the broker closed the connection");
        }
        len += read;
        let mut rest = &buffer[..len];
        while let Some((frame, after)) = Frame::split(rest) {
            rest = after;
            // once per message, where its body fits into one frame
            if frame.kind == BODY {
                STOPWATCH.count();
            } else if let Some((name, mut arguments)) = frame.method() {
                if name == method::DELIVER {
                    let _consumer_tag = arguments.short_text();
                    tag = arguments.long_long().context("a delivery has a tag")?;
                } else {
                    go_on(name, options, &mut answers)?;
                }
            }
        }
        let left = rest.len();
        buffer.copy_within(len - left..len, 0);
        len = left;
        // the body of the last one may still be on its way
        let whole = if left == 0 {
            tag
        } else {
            tag.saturating_sub(1)
        };
        if whole >= acked + half {
            acked = whole;
            answers.method(CHANNEL, method::ACK, |ack| {
                ack.long_long(whole).octet(1);
            });
        }
        if !answers.0.is_empty() {
            stream.write_all(&answers.0)?;
            answers.0.clear();
        }
    }
}

/// One step of the way from the connection to the consumer.
fn go_on(name: (u16, u16), options: &Options, answers: &mut Writer) -> anyhow::Result<()> {
    match name {
        method::START => answers.method(0, method::START_OK, |start| {
            start.table(|_| {}).short_text("PLAIN");
            start.long_text("\0guest\0guest").short_text("en_US");
        }),
        method::TUNE => {
            answers.method(0, method::TUNE_OK, |tune| {
                tune.short(1).long(FRAME_MAX).short(0);
            });
            answers.method(0, method::OPEN, |open| {
                open.short_text("/").short_text("").octet(0);
            });
        }
        method::OPEN_OK => answers.method(CHANNEL, method::CHANNEL_OPEN, |open| {
            open.short_text("");
        }),
        method::CHANNEL_OPEN_OK => answers.method(CHANNEL, method::QOS, |qos| {
            qos.long(0).short(options.prefetch).octet(0);
        }),
        method::QOS_OK => answers.method(CHANNEL, method::CONSUME, |consume| {
            consume.short(0).short_text(&options.queue).short_text("");
            consume.octet(0).table(|_| {});
        }),
        method::CONSUME_OK => {}
        _ => bail!("the broker sent {name:?}"),
    }
    Ok(())
}
