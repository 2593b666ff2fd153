/// Who a certificate is of, and who signed it: two names as they are encoded.
///
/// It is read for error messages alone. rustls verifies, and keeps these to itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The tag of the version, which old certificates leave out.
const VERSION: u8 = 0xa0;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

impl<'a> Names<'a> {
    /// `None`, if it is not a certificate by X.509 ([RFC 5280](https://www.rfc-editor.org/rfc/rfc5280#section-4.1)).
    pub(super) fn of(certificate: &'a [u8]) -> Option<Self> {
        let (_, certificate, _) = value(certificate)?;
        let (_, body, _) = value(certificate)?;
        let (tag, _, behind) = value(body)?;
        let serial = if tag == VERSION { behind } else { body };
        let (_, _, algorithm) = value(serial)?;
        let (_, _, issuer) = value(algorithm)?;
        let (_, issuer, validity) = value(issuer)?;
        let (_, _, subject) = value(validity)?;
        let (_, subject, _) = value(subject)?;
        Some(Self { issuer, subject })
    }

    pub(super) fn is_self_signed(&self) -> bool {
        self.issuer == self.subject
    }

    /// The issuer's common name, or its organization, fit for a log: whoever answers at the port has written it.
    pub(super) fn issuer_text(&self) -> Option<String> {
        const LONGEST: usize = 80;

        let text =
            attribute(self.issuer, COMMON_NAME).or_else(|| attribute(self.issuer, ORGANIZATION))?;
        let text = String::from_utf8_lossy(text);
        Some(
            text.chars()
                .take(LONGEST)
                .flat_map(char::escape_debug)
                .collect(),
        )
    }
}

/// The text of the first attribute of this type.
fn attribute<'a>(mut name: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    while let Some((SET, set, behind)) = value(name) {
        name = behind;
        let Some((SEQUENCE, attribute, _)) = value(set) else {
            continue;
        };
        match value(attribute) {
            Some((OBJECT_IDENTIFIER, kind, text)) if kind == wanted => {
                return value(text).map(|(_, text, _)| text);
            }
            _ => {}
        }
    }
    None
}

/// The first value in DER: its tag, its content, and what stands behind it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // the length of the length, as much as a certificate can be long
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            let length = digits
                .iter()
                .fold(0, |length, &digit| length << 8 | usize::from(digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value in DER, shorter than 128 bytes.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).unwrap()], &content[..]].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        let kind = der(OBJECT_IDENTIFIER, &[COMMON_NAME]);
        let attribute = der(SEQUENCE, &[&kind, &der(0x0c, &[text.as_bytes()])]);
        der(SEQUENCE, &[&der(SET, &[&attribute])])
    }

    fn certificate(version: &[u8]) -> Vec<u8> {
        let (serial, algorithm, validity) =
            (der(2, &[&[1]]), der(SEQUENCE, &[]), der(SEQUENCE, &[]));
        let (issuer, subject) = (name("root\n"), name("shop"));
        let body = der(
            SEQUENCE,
            &[version, &serial, &algorithm, &issuer, &validity, &subject],
        );
        der(SEQUENCE, &[&body])
    }

    #[test]
    fn the_issuer_is_read_of_every_version_and_fit_for_a_log() {
        for version in [der(VERSION, &[&der(2, &[&[2]])]), Vec::new()] {
            let certificate = certificate(&version);
            let names = Names::of(&certificate).unwrap();
            assert_eq!(names.issuer_text().unwrap(), "root\\n");
            assert!(!names.is_self_signed());
        }
    }

    #[test]
    fn what_is_cut_or_changed_anywhere_is_no_reason_to_panic() {
        let whole = certificate(&[]);
        for end in 0..whole.len() {
            let _ = Names::of(&whole[..end]).and_then(|names| names.issuer_text());
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[end] = byte;
                let _ = Names::of(&changed).and_then(|names| names.issuer_text());
            }
        }
    }
}
