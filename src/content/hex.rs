//! Bytes as hexadecimal digits wherever values are written down for people and traces:
//! `#[serde(with = "crate::content::hex")]` on a field of bytes, of whatever owner.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Lower-case digits, two a byte.
pub fn encode(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// The bytes that digits of either case stand for; none if there is anything else, or half a byte.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| Some((value(pair[0])? * 16 + value(pair[1])?) as u8);
    digits.chunks_exact(2).map(byte).collect()
}

/// For serde: a string of digits.
pub fn serialize<T: AsRef<[u8]>, S: Serializer>(bytes: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&encode(bytes.as_ref()))
}

/// For serde: the bytes of a string of digits, if the owner takes as many.
pub fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_str(Digits(PhantomData))
}

/// For fields that may hold no bytes: nothing, or a string of digits.
pub mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// For serde.
    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(super::encode).serialize(to)
    }

    /// For serde.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        #[derive(Deserialize)]
        struct Bytes(#[serde(with = "super")] Vec<u8>);
        Ok(Option::<Bytes>::deserialize(from)?.map(|bytes| bytes.0))
    }
}

/// For numbers that are drawn by chance: 16 digits, since many readers of JSON round above 2^53.
pub mod number {
    use serde::{Deserializer, Serializer};

    /// For serde.
    pub fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        super::serialize(&number.to_be_bytes(), to)
    }

    /// For serde.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        super::deserialize(from).map(u64::from_be_bytes)
    }
}

struct Digits<T>(PhantomData<T>);

impl<T: TryFrom<Vec<u8>>> Visitor<'_> for Digits<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hexadecimal digits")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let bytes = decode(text).ok_or_else(|| E::custom("these are no hexadecimal digits"))?;
        let count = bytes.len();
        bytes
            .try_into()
            .map_err(|_| E::custom(format_args!("{count} bytes are too few or too many")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(encode(&[0, 0x9f, 0xff]), "009fff");
        assert_eq!(decode("009FfF"), Some(vec![0, 0x9f, 0xff]));
        assert_eq!(decode(""), Some(vec![]));
        for wrong in ["0", "0g", "+1", " 1", "é"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }
}
