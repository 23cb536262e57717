//! The rules of nf_tables, read for what they translate.
//!
//! A rule is a list of expressions over registers: loads, comparisons, and at the end what is done.
//! Each comparison of what a [`Scope`] knows narrows it; every other is taken to be true.

use std::collections::BTreeMap;
use std::io;

use super::registers::Registers;
use super::sets::Sets;
use super::wire::{self, Object, attributes, find, number, text};
use super::{INET, IPV4, chain_name};
use crate::beside::ruleset::{Action, Chain, Rule};
use crate::beside::scope::{Field, Ranges, Scope};
use crate::beside::xt;

/// The rules of some chains that translate or lead to others.
pub(super) fn of(wanted: impl Fn(&str) -> bool) -> io::Result<BTreeMap<Chain, Vec<Rule>>> {
    const TABLE: u16 = 1;
    const CHAIN: u16 = 2;
    const EXPRESSIONS: u16 = 4;
    let mut told = Vec::new();
    wire::list(Object::Rule, 0, &[], |family, rule| {
        if let (INET | IPV4, Some(table), Some(chain), Some(expressions)) =
            (family, find(rule, TABLE), find(rule, CHAIN), find(rule, EXPRESSIONS))
        {
            let chain = chain_name(family, &text(table), &text(chain));
            if wanted(&chain) {
                told.push((family, text(table), chain, expressions.to_vec()));
            }
        }
    })?;
    let (mut chains, mut sets) = (BTreeMap::<Chain, Vec<Rule>>::new(), Sets::default());
    for (family, table, chain, expressions) in &told {
        let mut reading = Reading {
            family: *family,
            table,
            sets: &mut sets,
            registers: Registers::new(),
            scope: Scope::any(),
            rule: Rule::new(),
        };
        for (_, expression) in attributes(expressions) {
            reading.read(expression);
        }
        if !reading.rule.is_empty() {
            chains.entry(chain.clone()).or_default().push(reading.rule);
        }
    }
    Ok(chains)
}

/// A rule that is being read.
struct Reading<'a> {
    family: u8,
    table: &'a str,
    sets: &'a mut Sets,
    registers: Registers,
    scope: Scope,
    rule: Rule,
}

impl Reading<'_> {
    fn read(&mut self, expression: &[u8]) {
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        let (Some(name), Some(data)) = (find(expression, NAME), find(expression, DATA)) else {
            return;
        };
        // What cannot be read is as if it were not there, and registers are not trusted after it.
        let read = match text(name).as_str() {
            "meta" => self.meta(data),
            "payload" => self.payload(data),
            "bitwise" => self.bitwise(data),
            "cmp" => self.compare(data),
            "range" => self.range(data),
            "lookup" => self.lookup(data),
            "match" => self.match_xt(data),
            "target" => self.target_xt(data),
            "immediate" => self.immediate(data),
            "nat" => self.nat(data),
            "masq" | "redir" => {
                let is_source = text(name) == "masq";
                self.does(if is_source { Action::Source } else { Action::Destination });
                Some(())
            }
            "fib" | "ct" | "rt" | "exthdr" => {
                number_in(data, 1).map(|to| self.registers.forget(to))
            }
            "counter" | "limit" | "log" | "quota" => Some(()),
            _ => None,
        };
        if read.is_none() {
            self.registers.clear();
        }
    }

    fn does(&mut self, action: Action) {
        self.rule.push((self.scope.clone(), action));
    }

    fn meta(&mut self, data: &[u8]) -> Option<()> {
        const L4PROTO: u32 = 16;
        let (to, key) = (number_in(data, 1)?, number_in(data, 2)?);
        self.registers.forget(to);
        if key == L4PROTO {
            self.registers.load(to, 1, Field::Protocol, 0);
        }
        Some(())
    }

    fn payload(&mut self, data: &[u8]) -> Option<()> {
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        let (to, base) = (number_in(data, 1)?, number_in(data, 2)?);
        let (offset, length) = (number_in(data, 3)?, number_in(data, 4)?);
        self.registers.forget(to);
        for (header, start, field) in [
            (NETWORK, 9, Field::Protocol),
            (NETWORK, 12, Field::Source),
            (TRANSPORT, 2, Field::Port),
        ] {
            if header == base {
                let first = start - offset as isize;
                self.registers.load(to, length as usize, field, first);
            }
        }
        Some(())
    }

    fn bitwise(&mut self, data: &[u8]) -> Option<()> {
        const MASK: u16 = 4;
        const XOR: u16 = 5;
        let (from, to) = (number_in(data, 1)?, number_in(data, 2)?);
        let (mask, xor) = (value(data, MASK)?, value(data, XOR)?);
        if xor.iter().any(|byte| *byte != 0) {
            return None;
        }
        self.registers.mask(from, to, mask);
        Some(())
    }

    fn compare(&mut self, data: &[u8]) -> Option<()> {
        const DATA: u16 = 3;
        let (register, operation, value) =
            (number_in(data, 1)?, number_in(data, 2)?, value(data, DATA)?);
        let (zero, most) = (vec![0; value.len()], vec![u8::MAX; value.len()]);
        // Less and greater are told by the ranges that they exclude.
        let (from, to, inverted) = match operation {
            0 => (value, value, false),
            1 => (value, value, true),
            2 => (value, most.as_slice(), true),
            3 => (zero.as_slice(), value, false),
            4 => (zero.as_slice(), value, true),
            5 => (value, most.as_slice(), false),
            _ => return None,
        };
        let ordered = operation > 1;
        self.narrow(register, value.len(), &[(from, to)], inverted, ordered);
        Some(())
    }

    fn range(&mut self, data: &[u8]) -> Option<()> {
        let (register, operation) = (number_in(data, 1)?, number_in(data, 2)?);
        let (from, to) = (value(data, 3)?, value(data, 4)?);
        self.narrow(register, from.len(), &[(from, to)], operation == 1, true);
        Some(())
    }

    fn lookup(&mut self, data: &[u8]) -> Option<()> {
        const SET: u16 = 1;
        const FLAGS: u16 = 5;
        const VERDICT: u32 = 0;
        let (register, to) = (number_in(data, 2)?, number_in(data, 3));
        let inverted = number_in(data, FLAGS).unwrap_or(0) & 1 != 0;
        if to != Some(VERDICT) && !self.registers.hold_any(register) {
            // A list of addresses may be long.
            if let Some(to) = to {
                self.registers.forget(to);
            }
            return Some(());
        }
        let name = (self.family, self.table.to_owned(), text(find(data, SET)?));
        let elements = self.sets.elements(&name).to_vec();
        let length = elements.first().map_or(0, |element| element.from.len());
        if to == Some(VERDICT) {
            for element in &elements {
                let before = self.scope.clone();
                let key = (element.from.as_slice(), element.to.as_slice());
                self.narrow(register, length, &[key], false, false);
                let action = element.data.as_deref().and_then(|data| self.verdict(data));
                if let Some(action) = action {
                    self.does(action);
                }
                self.scope = before;
            }
            return Some(());
        }
        let keys: Vec<_> = elements.iter().map(|e| (e.from.as_slice(), e.to.as_slice())).collect();
        if keys.is_empty() && !inverted {
            // Nothing is in it yet.
            self.scope.narrow(Field::Port, &[]);
        }
        self.narrow(register, length, &keys, inverted, false);
        if let Some(to) = to {
            self.registers.forget(to);
        }
        Some(())
    }

    fn match_xt(&mut self, data: &[u8]) -> Option<()> {
        let name = text(find(data, 1)?);
        let (revision, info) = (number_in(data, 2)?, find(data, 3)?);
        xt::narrow(&mut self.scope, &name, revision, info);
        Some(())
    }

    fn target_xt(&mut self, data: &[u8]) -> Option<()> {
        if let Some(action) = xt::action(&text(find(data, 1)?)) {
            self.does(action);
        }
        Some(())
    }

    fn immediate(&mut self, data: &[u8]) -> Option<()> {
        const DATA: u16 = 2;
        let to = number_in(data, 1)?;
        self.registers.forget(to);
        if let Some(action) = self.verdict(find(data, DATA)?) {
            self.does(action);
        }
        Some(())
    }

    fn nat(&mut self, data: &[u8]) -> Option<()> {
        const DESTINATION: u32 = 1;
        const FAMILY_IPV6: u32 = 10;
        if number_in(data, 2) == Some(FAMILY_IPV6) {
            return Some(());
        }
        let is_destination = number_in(data, 1)? == DESTINATION;
        self.does(if is_destination { Action::Destination } else { Action::Source });
        Some(())
    }

    /// Where data that is a verdict leads.
    fn verdict(&self, data: &[u8]) -> Option<Action> {
        const VERDICT: u16 = 2;
        const CODE: u16 = 1;
        const CHAIN: u16 = 2;
        const JUMP: i32 = -3;
        const GOTO: i32 = -4;
        let verdict = find(data, VERDICT)?;
        let code = number_in(verdict, CODE)?.cast_signed();
        let chain = text(find(verdict, CHAIN)?);
        let chain = chain_name(self.family, self.table, &chain);
        [JUMP, GOTO].contains(&code).then_some(Action::Go(chain))
    }

    /// Takes a comparison of registers with keys for true. An `ordered` one is of whole numbers, and
    /// says something only where the field is all that is compared.
    fn narrow(
        &mut self,
        register: u32,
        length: usize,
        keys: &[(&[u8], &[u8])],
        inverted: bool,
        ordered: bool,
    ) {
        for field in Field::ALL {
            let values = |inverted| -> Option<Ranges> {
                self.registers.values(register, length, field, keys.iter().copied(), inverted)
            };
            if ordered && length != field.width() {
                continue;
            }
            if let Some(ranges) = values(inverted) {
                self.scope.narrow(field, &ranges);
            }
        }
    }
}

/// The attribute that is a number.
fn number_in(data: &[u8], kind: u16) -> Option<u32> {
    find(data, kind).and_then(number)
}

/// The bytes of an attribute that is data.
fn value(data: &[u8], kind: u16) -> Option<&[u8]> {
    const VALUE: u16 = 1;
    find(find(data, kind)?, VALUE)
}
