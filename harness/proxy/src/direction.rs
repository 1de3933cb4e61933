//! The two ways that bytes go through a connection.

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the process that the proxy is for.
    ToBroker,
    /// To that process.
    FromBroker,
    /// Both ways.
    Both,
}

impl Direction {
    /// Whether what is done in this direction is done to bytes that go that way.
    pub(crate) fn covers(self, way: Self) -> bool {
        self == Self::Both || self == way
    }
}
