//! What was read at the broker once everybody had left.

/// A task that was open at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTask {
    /// The chunk's id, where the task could be read.
    pub chunk_id: Option<String>,
    /// Who had it.
    pub holder: Option<String>,
}

/// A stored result that was not seen so.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedResult {
    /// The chunk's id.
    pub chunk_id: String,
    /// The sum that was seen first; none where no result of the chunk was seen.
    pub was: Option<f64>,
    /// The sum that is there.
    pub is: f64,
    /// Whose result that says it is.
    pub worker: String,
}

impl ChangedResult {
    /// Whether it has the value that was seen; it may have been added up in another order.
    pub fn is_equal(&self) -> bool {
        self.was.is_some_and(|was| (was - self.is).abs() <= was.abs() * 4.0 * f64::EPSILON)
    }
}
