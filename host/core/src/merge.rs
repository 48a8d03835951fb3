//! Three-way merge: what a field becomes when either side, or both, have changed
//! it since they last agreed.

use serde_json::Value;

use crate::answers::{Conflict, OnNull};

/// How a field is to be treated on an update. Built from the rules' plan alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldPolicy {
    pub on_create: bool,
    pub on_update: bool,
    pub conflict: Conflict,
    pub on_null: OnNull,
}

/// One field: the value both sides last agreed on, the deal's, and Salesforce's
/// as the rules drafted it. `None` is empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sides<'a> {
    pub base: Option<&'a Value>,
    pub ours: Option<&'a Value>,
    pub theirs: Option<&'a Value>,
    /// Whether Salesforce's record was changed after the deal was.
    pub theirs_is_newer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// Nothing to write; base and both sides stay as they are.
    Keep,
    /// The sides came to the same value on their own: only the base moves.
    Agree,
    /// Salesforce's value is taken and becomes the base.
    Take,
    /// Both changed it; Salesforce's value wins, the deal's goes to history.
    TakeOver,
    /// Both changed it; the deal's value wins. The base moves to Salesforce's, so
    /// that the deal's value counts as a change still to be sent.
    Hold,
    /// Both changed it and a person has to choose: nothing moves until then.
    Ask,
}

/// Decides one field (sync.md, three-way merge per field).
pub fn three_way(sides: Sides<'_>, policy: FieldPolicy) -> Merged {
    let Sides { base, ours, theirs, theirs_is_newer } = sides;
    let theirs_changed = theirs != base;
    let ours_changed = ours != base;
    if !policy.on_update || !theirs_changed {
        return Merged::Keep;
    }
    if theirs.is_none() && policy.on_null == OnNull::Leave {
        return Merged::Keep;
    }
    if ours == theirs {
        return Merged::Agree;
    }
    if !ours_changed {
        return Merged::Take;
    }
    match policy.conflict {
        Conflict::Source => Merged::TakeOver,
        Conflict::Target => Merged::Hold,
        Conflict::Newest if theirs_is_newer => Merged::TakeOver,
        Conflict::Newest => Merged::Hold,
        Conflict::Ask => Merged::Ask,
    }
}
