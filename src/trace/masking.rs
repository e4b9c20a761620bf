//! Values written so that they tell no names of files: whatever is a [`ShareName`] becomes a pseudonym, and
//! text that was made for people, and may hold names and paths, becomes empty. It is done while a value is
//! serialised, by type and place: so nothing that is ever added to an input, an output or the state can be
//! forgotten, as long as a name is a `ShareName` there.
//!
//! [`ShareName`]: crate::content::ShareName

use std::cell::RefCell;
use std::io::Write;

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::pseudonyms::Pseudonyms;
use crate::node::json_of;

/// The type whose values are names.
const NAME: &str = "ShareName";

/// Fields, and variants, that hold text for people or text made of names.
const TEXTS: [(&str, &str); 2] = [("DiskFault", "message"), ("FetchEnding", "failed")];

/// How names are written.
#[derive(Debug)]
pub(crate) enum Masking {
    /// As they are.
    Off,
    /// As they are, for they are pseudonyms; texts are left out.
    Again,
    /// As pseudonyms; texts are left out.
    On(Box<Pseudonyms>),
}

impl Masking {
    /// Pseudonyms from now on. `derives` says whether the core makes names out of names.
    pub(crate) fn on(derives: bool) -> Self {
        Self::On(Box::new(Pseudonyms::new(derives)))
    }

    /// Whether some name could not be replaced: what was written since is of no use.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Self::On(names) if names.has_failed())
    }

    /// Writes a value as JSON on one line.
    pub(crate) fn write<T: Serialize + ?Sized>(&mut self, value: &T, to: &mut dyn Write) {
        let written = if let Self::Off = self {
            serde_json::to_writer(to, value)
        } else {
            let mut serializer = serde_json::Serializer::new(to);
            let masking = RefCell::new(std::mem::replace(self, Self::Off));
            let written = value.serialize(Masked { inner: &mut serializer, masking: &masking });
            *self = masking.into_inner();
            written
        };
        written.expect("memory takes everything, and maps have keys that are numbers or texts");
    }

    fn pseudonym(&mut self, name: String) -> String {
        match self {
            Self::On(names) => names.of(&name),
            Self::Off | Self::Again => name,
        }
    }
}

/// Lent to all parts of a value: each may come upon a name.
type Shared<'a> = &'a RefCell<Masking>;

/// A serializer that hands on to another one, but for names and texts.
struct Masked<'a, S> {
    inner: S,
    masking: Shared<'a>,
}

/// A value whose insides are to be masked.
struct Inside<'a, T: ?Sized> {
    value: &'a T,
    masking: Shared<'a>,
}

impl<T: Serialize + ?Sized> Serialize for Inside<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Masked { inner: to, masking: self.masking })
    }
}

/// A sequence, map or struct under way.
struct Parts<'a, C> {
    inner: C,
    masking: Shared<'a>,
    /// The type it is.
    of: &'static str,
}

fn is_text(of: &str, part: &str) -> bool {
    TEXTS.contains(&(of, part))
}

/// Methods that hand one value on as it is.
macro_rules! as_it_is {
    ($($method:ident($type:ty))*) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        })*
    };
}

impl<'a, S: Serializer> Serializer for Masked<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'a, S::SerializeSeq>;
    type SerializeTuple = Parts<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'a, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'a, S::SerializeMap>;
    type SerializeStruct = Parts<'a, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'a, S::SerializeStructVariant>;

    as_it_is! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_f32(f32) serialize_f64(f64) serialize_unit_struct(&'static str)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Inside { value, masking: self.masking })
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        if name == NAME {
            let text = serde_json::from_str(&json_of(value)).unwrap_or_default();
            let pseudonym = self.masking.borrow_mut().pseudonym(text);
            return self.inner.serialize_str(&pseudonym);
        }
        self.inner.serialize_newtype_struct(name, &Inside { value, masking: self.masking })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        if is_text(name, variant) {
            return self.inner.serialize_newtype_variant(name, index, variant, "");
        }
        let inside = Inside { value, masking: self.masking };
        self.inner.serialize_newtype_variant(name, index, variant, &inside)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        let Self { inner, masking } = self;
        Ok(Parts { inner: inner.serialize_seq(length)?, masking, of: "" })
    }

    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, S::Error> {
        let Self { inner, masking } = self;
        Ok(Parts { inner: inner.serialize_tuple(length)?, masking, of: "" })
    }

    fn serialize_tuple_struct(
        self,
        of: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        let Self { inner, masking } = self;
        Ok(Parts { inner: inner.serialize_tuple_struct(of, length)?, masking, of })
    }

    fn serialize_tuple_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let Self { inner, masking } = self;
        let inner = inner.serialize_tuple_variant(of, index, variant, length)?;
        Ok(Parts { inner, masking, of })
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let Self { inner, masking } = self;
        Ok(Parts { inner: inner.serialize_map(length)?, masking, of: "" })
    }

    fn serialize_struct(
        self,
        of: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let Self { inner, masking } = self;
        Ok(Parts { inner: inner.serialize_struct(of, length)?, masking, of })
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let Self { inner, masking } = self;
        let inner = inner.serialize_struct_variant(of, index, variant, length)?;
        Ok(Parts { inner, masking, of })
    }
}

/// Parts without names: each is masked inside.
macro_rules! parts {
    ($($trait:ident: $method:ident)*) => {
        $(impl<C: $trait> $trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.inner.$method(&Inside { value, masking: self.masking })
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })*
    };
}

parts! {
    SerializeSeq: serialize_element
    SerializeTuple: serialize_element
    SerializeTupleStruct: serialize_field
    SerializeTupleVariant: serialize_field
}

impl<C: SerializeMap> SerializeMap for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(&Inside { value, masking: self.masking })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&Inside { value, masking: self.masking })
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

/// Parts with names, some of which are texts.
macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl<C: $trait> $trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                if is_text(self.of, key) {
                    return self.inner.serialize_field(key, "");
                }
                self.inner.serialize_field(key, &Inside { value, masking: self.masking })
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ShareName;
    use crate::node::input::{DiskFault, DiskFaultKind, StoreOpening};
    use crate::node::output::FetchEnding;
    use crate::node::{FetchId, Input};

    fn written<T: Serialize>(masking: &mut Masking, value: &T) -> String {
        let mut json = Vec::new();
        masking.write(value, &mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn names_are_replaced_wherever_they_stand_and_nothing_else_is() {
        let name = ShareName::parse("secret/plan.txt").unwrap();
        let mut masking = Masking::on(false);
        let map = std::collections::BTreeMap::from([(name.clone(), vec![Some(name.clone())])]);
        assert_eq!(written(&mut masking, &map), "{\"i000\":[\"i000\"]}");
        let ending = FetchEnding::Done(name.clone());
        assert_eq!(written(&mut masking, &(ending, "text", 7)), "[{\"done\":\"i000\"},\"text\",7]");
        let gone = Input::FileGone { name };
        assert_eq!(written(&mut masking, &gone), "{\"file_gone\":{\"name\":\"i000\"}}");
        assert!(written(&mut Masking::Again, &gone).contains("secret"));
        assert!(!masking.has_failed());
    }

    #[test]
    fn texts_for_people_are_left_out() {
        let message = "cannot write /home/eve/share/plan.txt".to_owned();
        let fault = DiskFault { kind: DiskFaultKind::Final, message: message.clone() };
        let opened =
            Input::StoreOpened { fetch: FetchId(1), outcome: StoreOpening::Failed(fault.clone()) };
        let stored = Input::Stored {
            fetch: FetchId(1),
            buffer: crate::node::BufferId(1),
            outcome: Err(fault),
        };
        let ended = FetchEnding::Failed(message);
        for mut masking in [Masking::on(false), Masking::Again] {
            let all = written(&mut masking, &opened)
                + &written(&mut masking, &stored)
                + &written(&mut masking, &ended);
            assert!(!all.contains("eve"), "{all}");
            assert!(all.contains("{\"failed\":\"\"}"), "{all}");
        }
        assert!(written(&mut Masking::Off, &opened).contains("eve"));
    }
}
