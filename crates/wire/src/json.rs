//! JSON as the data of events, and enums as events: the variant is the event's name, its content the data.
//!
//! An enum is read and written in serde's default representation, whose tag is the event's name here. The
//! content is serialized as it comes, without a tree of JSON values in between.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, EnumAccess, VariantAccess, Visitor};
use serde::ser::{self, Impossible, Serialize, SerializeStruct, SerializeTuple, Serializer};
use serde_json::Error;

use crate::{Event, Message};

impl Event<'_> {
    /// An event with this value as JSON, on one line, and the default name.
    ///
    /// ```
    /// use ssekit::wire::Event;
    ///
    /// let mut out = Vec::new();
    /// Event::json(&[1.5, 2.0])?.with_event("point")?.with_numeric_id(7).encode(&mut out);
    /// assert_eq!(out, b"id: 7\nevent: point\ndata: [1.5,2.0]\n\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the value has no JSON form, such as a map whose keys are not text.
    pub fn json(data: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        serde_json::to_string(data).map(Self::new)
    }

    /// The event of an enum: the variant is the name, its content as JSON the data, which is empty for a
    /// variant without content. [`Message::typed`] reads it.
    ///
    /// Names and contents are those that serde gives, so that `#[serde(rename_all = "snake_case")]` names all
    /// events of an enum. Use serde's default representation: an enum with a `tag` of its own, or `untagged`,
    /// is an error.
    ///
    /// ```
    /// use ssekit::wire::Event;
    ///
    /// #[derive(serde::Serialize)]
    /// #[serde(rename_all = "snake_case")]
    /// enum Import {
    ///     Progress { percent: u8 },
    ///     LineSkipped(String),
    ///     Done,
    /// }
    ///
    /// let progress = Event::typed(&Import::Progress { percent: 50 })?;
    /// assert_eq!((progress.event(), progress.data()), (Some("progress"), Some(r#"{"percent":50}"#)));
    /// let skipped = Event::typed(&Import::LineSkipped("a;b".to_owned()))?;
    /// assert_eq!((skipped.event(), skipped.data()), (Some("line_skipped"), Some(r#""a;b""#)));
    /// let done = Event::typed(&Import::Done)?;
    /// assert_eq!((done.event(), done.data()), (Some("done"), Some("")));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the value is no such enum, its name holds CR or LF, or its content has no JSON form.
    pub fn typed(event: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let (mut name, mut json) = ("", Json::new(Vec::new()));
        event.serialize(Variant { name: &mut name, json: &mut json })?;
        let data = String::from_utf8(json.into_inner()).map_err(<Error as ser::Error>::custom)?;
        Self::new(data).with_event(name).map_err(<Error as ser::Error>::custom)
    }
}

impl Message<'_> {
    /// The message as a value of an enum whose variants are the names of events. [`Event::typed`] writes it.
    /// `None` if the enum has no variant of this name.
    ///
    /// The data of a variant without content is not looked at. A variant with `#[serde(other)]` takes every
    /// other name.
    ///
    /// ```
    /// use ssekit::wire::Message;
    ///
    /// #[derive(Debug, PartialEq, serde::Deserialize)]
    /// #[serde(rename_all = "snake_case")]
    /// enum Import {
    ///     Progress { percent: u8 },
    ///     Done,
    /// }
    ///
    /// let message = |event, data| Message { event, data, last_event_id: "" };
    /// let progress = message("progress", r#"{"percent":50}"#).typed::<Import>();
    /// assert_eq!(progress.transpose()?, Some(Import::Progress { percent: 50 }));
    /// assert!(message("progress", "50 %").typed::<Import>().is_some_and(|import| import.is_err()));
    /// assert!(message("ping", "").typed::<Import>().is_none());
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the data is not the JSON of the variant's content, or `T` is no enum.
    pub fn typed<T: DeserializeOwned>(&self) -> Option<Result<T, Error>> {
        let is_unknown = Cell::new(false);
        match T::deserialize(Named { name: self.event, data: self.data, is_unknown: &is_unknown }) {
            Err(_) if is_unknown.get() => None,
            result => Some(result),
        }
    }
}

type Json = serde_json::Serializer<Vec<u8>>;

/// Serializes a variant: its name and its content go to different places.
struct Variant<'a> {
    name: &'a mut &'static str,
    json: &'a mut Json,
}

/// The fields of a variant, as those of a tuple or a struct.
struct Fields<S>(S);

fn not_an_enum() -> Error {
    ser::Error::custom("the event is not an enum in serde's default representation")
}

/// Methods of the serializer for values that are no variants.
macro_rules! refused {
    ($($method:ident($($argument:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$ok, Error> {
            Err(not_an_enum())
        })*
    };
}

impl<'a> Serializer for Variant<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Fields<<&'a mut Json as Serializer>::SerializeTuple>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Impossible<(), Error>;
    type SerializeStructVariant = Fields<<&'a mut Json as Serializer>::SerializeStruct>;

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), Error> {
        *self.name = name;
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        content: &T,
    ) -> Result<(), Error> {
        *self.name = name;
        content.serialize(self.json)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        *self.name = name;
        self.json.serialize_tuple(len).map(Fields)
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        _: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        *self.name = name;
        self.json.serialize_struct(of, len).map(Fields)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    refused! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
    }
}

impl<S: SerializeTuple<Ok = (), Error = Error>> ser::SerializeTupleVariant for Fields<S> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.0.serialize_element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.0.end()
    }
}

impl<S: SerializeStruct<Ok = (), Error = Error>> ser::SerializeStructVariant for Fields<S> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.0.serialize_field(key, value)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), Error> {
        self.0.skip_field(key)
    }

    fn end(self) -> Result<(), Error> {
        self.0.end()
    }
}

/// Deserializes a variant whose name and content come from different places.
#[derive(Clone, Copy)]
struct Named<'de, 'a> {
    name: &'de str,
    data: &'de str,
    /// The enum has no variant of this name.
    is_unknown: &'a Cell<bool>,
}

impl<'de> Named<'de, '_> {
    fn content<T>(
        self,
        read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'de>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut json = serde_json::Deserializer::from_str(self.data);
        let content = read(&mut json)?;
        json.end().map(|()| content)
    }
}

impl<'de> de::Deserializer<'de> for Named<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(not_an_enum())
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Named<'de, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = seed.deserialize(BorrowedStrDeserializer::<Error>::new(self.name));
        self.is_unknown.set(variant.is_err());
        variant.map(|variant| (variant, self))
    }
}

impl<'de> VariantAccess<'de> for Named<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.content(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.content(|json| de::Deserializer::deserialize_tuple(json, len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content(|json| de::Deserializer::deserialize_struct(json, "", fields, visitor))
    }
}
