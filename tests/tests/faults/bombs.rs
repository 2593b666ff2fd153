//! Small messages that become large, in every encoding and codec, before a program that has one GiB.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use ploomby::{Message, Properties};
use ploomby_tests::{Bed, KEY, eventually_some};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::{LONG, shared};

const MIB: usize = 1024 * 1024;

/// Nearly as large as a body may become.
const LARGE: usize = 15 * MIB;

const JSON: &str = "application/json";
const MSGPACK: &str = "application/msgpack";
const CBOR: &str = "application/cbor";
const PROTOBUF: &str = "application/protobuf";

/// What becomes of a message: what its handler says, or the reason of its dead letter.
type Expected = Result<String, &'static str>;

struct Bomb {
    key: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    expected: Expected,
}

/// Bodies that are as large as they may be, or more, or say that they are.
fn bombs() -> Vec<Bomb> {
    let filled = |head: &[u8], byte: u8| {
        let mut body = head.to_vec();
        body.resize(LARGE, byte);
        body
    };
    let text = |head: &[u8]| filled(head, b'x');
    let text_of = |head: usize| Ok(format!("text {}", LARGE - head));
    let length = |head: usize| u32::try_from(LARGE - head).unwrap().to_be_bytes();
    let broken = |key, content_type, body| Bomb {
        key,
        content_type,
        body,
        expected: Err("undecodable"),
    };
    let fine = |key, content_type, body, expected| Bomb {
        key,
        content_type,
        body,
        expected,
    };
    let json_text = format!("\"{}\"", "x".repeat(LARGE - 2));
    let json_numbers = format!("[0{}]", ",0".repeat(LARGE / 2 - 2));
    let msgpack_text = text(&[&[0xdb], &length(5)[..]].concat());
    let cbor_text = text(&[&[0x7a], &length(5)[..]].concat());
    let lie = [0xff; 4];
    vec![
        fine("text", JSON, json_text.into_bytes(), text_of(2)),
        fine(
            "numbers",
            JSON,
            json_numbers.into_bytes(),
            Ok(format!("numbers {}", LARGE / 2 - 1)),
        ),
        fine("text", MSGPACK, msgpack_text, text_of(5)),
        fine("text", CBOR, cbor_text, text_of(5)),
        broken("nested", JSON, filled(b"", b'[')),
        broken("nested", MSGPACK, filled(b"", 0x91)),
        broken("nested", CBOR, filled(b"", 0x81)),
        // four billion texts, numbers or bytes are to come, or so they say
        broken("text", MSGPACK, text(&[&[0xdb], &lie[..]].concat())),
        broken("numbers", MSGPACK, filled(&[&[0xdd], &lie[..]].concat(), 0)),
        broken("text", CBOR, text(&[&[0x7b], &lie[..], &lie[..]].concat())),
        broken("numbers", CBOR, filled(&[&[0x9a], &lie[..]].concat(), 0)),
        broken("numbers", CBOR, filled(&[0x9f], 0)),
        // a field of 2^64 bytes, and groups without end
        broken(
            "protobuf",
            PROTOBUF,
            filled(&[&[0x0a], &[0xff; 9][..], &[1]].concat(), 0),
        ),
        broken("protobuf", PROTOBUF, filled(b"", 0x0b)),
        Bomb {
            key: "text",
            content_type: JSON,
            body: vec![b' '; 32 * MIB],
            expected: Err("too-large"),
        },
    ]
}

fn packed(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(body, 1).unwrap(),
    }
}

fn message(key: &str, content_type: &str, encoding: &str, body: Vec<u8>) -> Message {
    let properties = Properties::new()
        .with_content_type(content_type)
        .and_then(|properties| properties.with_content_encoding(encoding))
        .unwrap();
    let message = Message::new(body).with_properties(properties);
    message.with_header(KEY, key).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_with_a_gibibyte_outlives_bombs_of_all_kinds() {
    const ENCODINGS: [&str; 3] = ["gzip", "deflate", "zstd"];
    const COPIES: usize = 4;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let (mut said, mut reasons) = (BTreeMap::new(), BTreeMap::new());
            let mut expect = |expected: Expected| match expected {
                Ok(line) => *said.entry(line).or_insert(0) += 1,
                Err(reason) => *reasons.entry(reason.to_owned()).or_insert(0) += 1,
            };
            let mut innocents = 0_u32..;
            let mut next_encodings = ENCODINGS.iter().cycle();
            for bomb in bombs() {
                // packing them takes longer than anything else here
                let (encodings, copies) = match bomb.expected {
                    Ok(_) => (ENCODINGS.len(), COPIES),
                    Err(_) => (1, 1),
                };
                for encoding in next_encodings.by_ref().take(encodings) {
                    let body = packed(encoding, &bomb.body);
                    let message = message(bomb.key, bomb.content_type, encoding, body);
                    for _ in 0..copies {
                        bed.publish(&queue, message.clone()).await;
                        expect(bomb.expected.clone());
                        let number = innocents.next().unwrap();
                        bed.send(&queue, "innocent", number.to_string()).await;
                        expect(Ok(format!("innocent {number}")));
                    }
                }
            }
            // nothing, packed a hundred thousand times
            let nothing = packed("gzip", b"").repeat(100_000);
            bed.publish(&queue, message("text", JSON, "gzip", nothing))
                .await;
            expect(Err("undecodable"));
            let (mut lines, mut letters) =
                (said.values().sum::<i32>(), reasons.values().sum::<i32>());

            let mut program = Command::new("prlimit")
                .arg("--data=1073741824")
                .arg(env!("CARGO_BIN_EXE_unpacker"))
                .args([bed.url(), &queue])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut out = BufReader::new(program.stdout.take().unwrap()).lines();
            while lines > 0 {
                let line = timeout(LONG, out.next_line()).await.unwrap().unwrap();
                let line = line.expect("the program lives");
                *said.entry(line).or_insert(0) -= 1;
                lines -= 1;
            }
            said.retain(|_, count| *count != 0);
            assert!(said.is_empty(), "{said:?}");
            let dead_letters = format!("{queue}_dlq");
            while letters > 0 {
                let letter = eventually_some(LONG, async || bed.get(&dead_letters).await).await;
                let reason = letter.text("ploomby-reason").to_owned();
                *reasons.entry(reason).or_insert(0) -= 1;
                letters -= 1;
            }
            reasons.retain(|_, count| *count != 0);
            assert!(reasons.is_empty(), "{reasons:?}");
            assert!(program.try_wait().unwrap().is_none(), "the program lives");
            let pid = program.id().unwrap().to_string();
            let told = Command::new("kill").args(["-TERM", &pid]).status().await;
            assert!(told.unwrap().success());
            assert!(program.wait().await.unwrap().success());
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}
