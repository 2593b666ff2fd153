use thiserror::Error;

use super::{Properties, header_names as headers};

/// The properties, in at most so many bytes. The words of the error give way first, then whatever
/// else ploomby added. Of a copy that comes back to be tried again this is what tells of an earlier
/// failure alone: without its count it would be tried for ever, and without what was set aside it
/// would come back as another message.
pub(crate) fn fit(properties: Properties, room: usize) -> Result<Properties, NoRoom> {
    if properties.encoded_len() <= room {
        return Ok(properties);
    }
    let headers = properties.headers();
    let comes_back = headers.contains_any(&headers::COUNTS);
    let is_ours = |name: &str| match comes_back {
        true => headers::OF_FAILURES.contains(&name),
        false => name.starts_with(headers::PREFIX),
    };
    let keeps: [&dyn Fn(&str) -> bool; 3] = [
        &|name| name != headers::ERROR,
        &|name| !is_ours(name) || [headers::REASON, headers::DEAD_LETTER_ID].contains(&name),
        &|name| !is_ours(name),
    ];
    let keep_user_id = properties.user_id().is_some();
    for keep in keeps {
        let mut fields = headers.to_fields();
        fields.retain(keep);
        let fitted = properties
            .for_copy(fields, keep_user_id)
            .expect("headers that a message has had can be set again");
        if fitted.encoded_len() <= room {
            return Ok(fitted);
        }
    }
    Err(NoRoom { room })
}

/// What a copy has to say does not fit beside the headers that the message has.
#[derive(Debug, Error)]
#[error("properties and headers take more than the {room} bytes that fit into a frame")]
pub(crate) struct NoRoom {
    room: usize,
}
