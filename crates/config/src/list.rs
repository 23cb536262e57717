//! A value that is `"auto"`, one item, or a list of items.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

use serde::de::value::{I64Deserializer, StrDeserializer};
use serde::de::{self, SeqAccess};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// As written; items of a list know their place, a single one is where the key's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AutoOrList<T> {
    Auto,
    List(Vec<Item<T>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item<T> {
    pub(crate) value: T,
    pub(crate) span: Option<Range<usize>>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AutoOrList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

struct Visitor<T>(PhantomData<T>);

impl<T> Visitor<T> {
    fn one(value: T) -> AutoOrList<T> {
        AutoOrList::List(vec![Item { value, span: None }])
    }
}

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
    type Value = AutoOrList<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\", one item or a list of items")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == "auto" {
            return Ok(AutoOrList::Auto);
        }
        T::deserialize(StrDeserializer::new(text)).map(Self::one)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        T::deserialize(I64Deserializer::new(number)).map(Self::one)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<T>>()? {
            let span = Some(item.span());
            list.push(Item { value: item.into_inner(), span });
        }
        Ok(AutoOrList::List(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PortRange;

    #[derive(Debug, Deserialize)]
    struct Keys {
        ports: AutoOrList<PortRange>,
    }

    fn read(text: &str) -> Result<AutoOrList<PortRange>, toml::de::Error> {
        toml::from_str::<Keys>(text).map(|keys| keys.ports)
    }

    #[test]
    fn the_three_forms() {
        assert_eq!(read("ports = 'auto'").unwrap(), AutoOrList::Auto);
        let one = read("ports = '1024-2047'").unwrap();
        let number = read("ports = 5000").unwrap();
        assert!(matches!(one, AutoOrList::List(list) if list[0].value.count() == 1024));
        assert!(matches!(number, AutoOrList::List(list) if list[0].value.count() == 1));
        let AutoOrList::List(list) = read("ports = [5000, '6000-6001']").unwrap() else {
            panic!("not a list")
        };
        assert_eq!(list[1].span, Some(15..26));
    }

    #[test]
    fn an_item_that_is_wrong_is_pointed_at() {
        let error = read("ports = [5000, '9-6']").unwrap_err();
        assert_eq!(error.span(), Some(15..20));
    }
}
