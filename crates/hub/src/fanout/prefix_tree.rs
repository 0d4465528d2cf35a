//! Prefix tree: finds the values of all texts with which another text begins.

use slab::Slab;

/// Prefix tree: one walk over a text finds the values of all texts with which it begins.
///
/// Every node has a value. A node that exists only for its children has the default value.
#[derive(Debug)]
pub(super) struct PrefixTree<T> {
    nodes: Slab<Node<T>>,
}

/// Number of a node; the number of the root is [`ROOT`].
pub(super) type NodeId = u32;

#[derive(Debug, Default)]
struct Node<T> {
    /// Bytes behind the text of the parent.
    edge: Box<[u8]>,
    parent: NodeId,
    /// Children, ordered by the first byte of their edges.
    children: Vec<(u8, NodeId)>,
    value: T,
}

/// Node of the empty text, which always exists.
pub(super) const ROOT: NodeId = 0;

impl<T: Default> Default for PrefixTree<T> {
    fn default() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self { nodes }
    }
}

impl<T: Default> PrefixTree<T> {
    pub(super) fn value(&self, id: NodeId) -> &T {
        &self.nodes[id as usize].value
    }

    pub(super) fn value_mut(&mut self, id: NodeId) -> &mut T {
        &mut self.nodes[id as usize].value
    }

    /// Parent of a node; `None` for the root.
    pub(super) fn parent(&self, id: NodeId) -> Option<NodeId> {
        (id != ROOT).then(|| self.nodes[id as usize].parent)
    }

    pub(super) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.nodes[id as usize].children.iter().map(|(_, child)| *child)
    }

    /// Nodes of the texts with which this one begins, from the root on.
    pub(super) fn path<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = NodeId> + 'a {
        let mut rest = text;
        std::iter::successors(Some(ROOT), move |id| {
            let child = self.child(*id, *rest.first()?).ok()?;
            rest = rest.strip_prefix(&*self.nodes[child as usize].edge)?;
            Some(child)
        })
    }

    /// Node of a text, if it exists.
    pub(super) fn find(&self, text: &[u8]) -> Option<NodeId> {
        let (mut id, mut rest) = (ROOT, text);
        while let Some(first) = rest.first() {
            id = self.child(id, *first).ok()?;
            rest = rest.strip_prefix(&*self.nodes[id as usize].edge)?;
        }
        Some(id)
    }

    /// Node of a text, which is created if it does not exist. Its parent may be new as well.
    pub(super) fn make(&mut self, text: &[u8]) -> NodeId {
        let (mut id, mut rest) = (ROOT, text);
        while let Some(first) = rest.first() {
            match self.child(id, *first) {
                Ok(child) => {
                    let edge = &self.nodes[child as usize].edge;
                    let common = edge.iter().zip(rest).take_while(|(one, other)| one == other).count();
                    id = if common < edge.len() { self.split(child, common) } else { child };
                    rest = &rest[common..];
                }
                Err(place) => {
                    let leaf = Node { edge: rest.into(), parent: id, ..Node::default() };
                    let leaf = self.nodes.insert(leaf) as NodeId;
                    self.nodes[id as usize].children.insert(place, (*first, leaf));
                    return leaf;
                }
            }
        }
        id
    }

    /// Removes a node with the default value if nothing needs it, and then its parents likewise.
    pub(super) fn release(&mut self, id: NodeId, is_default: impl Fn(&T) -> bool) {
        let mut id = id;
        while id != ROOT && is_default(&self.nodes[id as usize].value) {
            match self.nodes[id as usize].children[..] {
                [] => {
                    let Node { edge, parent, .. } = self.nodes.remove(id as usize);
                    if let Ok(place) = self.place(parent, edge[0]) {
                        self.nodes[parent as usize].children.remove(place);
                    }
                    id = parent;
                }
                [(_, child)] => return self.merge(id, child),
                _ => return,
            }
        }
    }

    /// Index of the child whose edge begins with this byte, or the index at which it would be inserted.
    fn place(&self, id: NodeId, first: u8) -> Result<usize, usize> {
        self.nodes[id as usize].children.binary_search_by_key(&first, |(first, _)| *first)
    }

    fn child(&self, id: NodeId, first: u8) -> Result<NodeId, usize> {
        self.place(id, first).map(|place| self.nodes[id as usize].children[place].1)
    }

    /// Inserts a new node between a node and its parent, behind this number of bytes of its edge.
    fn split(&mut self, id: NodeId, at: usize) -> NodeId {
        let node = &mut self.nodes[id as usize];
        let (first, parent) = (node.edge[0], node.parent);
        let (before, after) = (node.edge[..at].into(), Box::from(&node.edge[at..]));
        node.edge = after;
        let child = (node.edge[0], id);
        let between = Node { edge: before, parent, children: vec![child], value: T::default() };
        let between = self.nodes.insert(between) as NodeId;
        self.nodes[id as usize].parent = between;
        if let Ok(place) = self.place(parent, first) {
            self.nodes[parent as usize].children[place].1 = between;
        }
        between
    }

    /// Removes a node that has one child.
    fn merge(&mut self, id: NodeId, child: NodeId) {
        let Node { edge, parent, .. } = self.nodes.remove(id as usize);
        let node = &mut self.nodes[child as usize];
        node.edge = [&*edge, &*node.edge].concat().into();
        node.parent = parent;
        if let Ok(place) = self.place(parent, edge[0]) {
            self.nodes[parent as usize].children[place].1 = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_map_of_all_prefixes_finds(
            changes in prop::collection::vec(("[ab]{0,6}", any::<bool>()), 0..60),
            texts in prop::collection::vec("[ab]{0,8}", 8),
        ) {
            let mut tree: PrefixTree<u32> = PrefixTree::default();
            let mut map = BTreeMap::new();
            for (text, is_added) in changes {
                if is_added {
                    let node = tree.make(text.as_bytes());
                    *tree.value_mut(node) += 1;
                    *map.entry(text).or_insert(0) += 1;
                } else if let Some(node) = tree.find(text.as_bytes()) {
                    *tree.value_mut(node) = 0;
                    tree.release(node, |value| *value == 0);
                    map.remove(&text);
                }
            }
            for text in texts {
                let found: Vec<u32> =
                    tree.path(text.as_bytes()).map(|id| *tree.value(id)).filter(|value| *value > 0).collect();
                let expected: Vec<u32> =
                    (0..=text.len()).filter_map(|end| map.get(&text[..end]).copied()).collect();
                prop_assert_eq!(found, expected, "{}", text);
            }
            prop_assert!(tree.nodes.len() <= 2 * map.len() + 1, "{} nodes for {}", tree.nodes.len(), map.len());
        }
    }
}
