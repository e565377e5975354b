use std::num::NonZeroU64;

/// `limit` and `continue` of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Most items of the page; `None` is all of them.
    pub limit: Option<NonZeroU64>,
    /// Where the page begins: a token as the client sent it, not yet opened.
    pub token: Option<String>,
}

/// Who cuts a kind's list into pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// The cluster, by its own tokens.
    ByCluster,
    /// The cluster, but for some of its tokens: those of events in all namespaces name the namespace that an event claims to
    /// be of, which may be another one than it is in.
    EventsByCluster,
    /// The gateway, by the items' own keys: the cluster's pages of these lists repeat items, lose some, or hold
    /// everything.
    ByKey,
}

// === impl PageRequest ===

impl PageRequest {
    /// Whether no page was asked for, but everything.
    pub fn is_everything(&self) -> bool {
        self.limit.is_none() && self.token.is_none()
    }
}
