//! Doubly-linked lists of slots: eight bytes a slot, and nothing to allocate.
//!
//! A slot is on one list at most. Each list is a ring that its *end* closes, so that a slot is taken
//! out without a search and without knowing on which list it is:
//!
//! ```text
//!   end ──► first ──► … ──► last ──► end
//! ```
//!
//! Nodes are numbered: slots by their index, and after them the ends.

use masq_flow::Slot;

/// Lists over the slots of a table.
#[derive(Debug)]
pub(crate) struct Lists {
    slots: Vec<Node>,
    ends: Vec<Node>,
}

/// The neighbours of a node, by number.
#[derive(Clone, Copy, Debug)]
struct Node {
    next: u32,
    previous: u32,
}

impl Node {
    /// On no list.
    const APART: Self = Self { next: u32::MAX, previous: u32::MAX };

    const fn is_apart(self) -> bool {
        self.next == u32::MAX
    }
}

impl Lists {
    /// So many empty lists over so many slots.
    pub(crate) fn new(slots: u32, lists: usize) -> Self {
        let mut new = Self { slots: vec![Node::APART; slots as usize], ends: Vec::new() };
        (0..lists).for_each(|_| {
            new.add_list();
        });
        new
    }

    /// Adds an empty list and gives its number.
    pub(crate) fn add_list(&mut self) -> usize {
        let number = self.ends.len();
        let end = (self.slots.len() + number) as u32;
        self.ends.push(Node { next: end, previous: end });
        number
    }

    /// Puts a slot, which must be on no list, behind all others of a list.
    pub(crate) fn push(&mut self, list: usize, slot: Slot) {
        let end = (self.slots.len() + list) as u32;
        let last = self.ends[list].previous;
        self.slots[slot.index() as usize] = Node { next: end, previous: last };
        self.node(last).next = slot.index();
        self.ends[list].previous = slot.index();
    }

    /// Takes a slot off its list. The number of the list if that is empty then.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<usize> {
        let node = core::mem::replace(&mut self.slots[slot.index() as usize], Node::APART);
        if node.is_apart() {
            return None;
        }
        self.node(node.previous).next = node.next;
        self.node(node.next).previous = node.previous;
        // Only an end has the same neighbour on both sides when it is its own.
        (node.next == node.previous).then(|| node.next as usize - self.slots.len())
    }

    /// The first slot of a list.
    pub(crate) fn first(&self, list: usize) -> Option<Slot> {
        let first = self.ends[list].next;
        ((first as usize) < self.slots.len()).then(|| Slot::new(first))
    }

    /// The memory that is taken, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        (self.slots.capacity() + self.ends.capacity()) * size_of::<Node>()
    }

    fn node(&mut self, number: u32) -> &mut Node {
        let number = number as usize;
        match number.checked_sub(self.slots.len()) {
            Some(list) => &mut self.ends[list],
            None => &mut self.slots[number],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_behave_like_queues(steps in prop::collection::vec((0_u32..6, 0_usize..3), 0..200)) {
            let mut lists = Lists::new(6, 2);
            lists.add_list();
            let mut model = vec![VecDeque::new(); 3];
            for (slot, list) in steps {
                let known = model.iter().position(|queue| queue.contains(&slot));
                let emptied = lists.remove(Slot::new(slot));
                if let Some(known) = known {
                    model[known].retain(|other| *other != slot);
                }
                prop_assert_eq!(emptied, known.filter(|known| model[*known].is_empty()));
                lists.push(list, Slot::new(slot));
                model[list].push_back(slot);
                for (list, queue) in model.iter().enumerate() {
                    prop_assert_eq!(lists.first(list), queue.front().map(|slot| Slot::new(*slot)));
                }
            }
            for (list, queue) in model.into_iter().enumerate() {
                for slot in queue {
                    prop_assert_eq!(lists.first(list), Some(Slot::new(slot)));
                    lists.remove(Slot::new(slot));
                }
                prop_assert_eq!(lists.first(list), None);
            }
        }
    }
}
