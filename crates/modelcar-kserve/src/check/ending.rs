//! How a container ended.

use std::fmt;

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Its exit status.
    pub exit_code: i64,
    /// The kubelet's reason, as one word; may be empty.
    pub reason: String,
    /// Its last words; may be empty.
    pub said: String,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.exit_code)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        f.write_str(&after_colon(Some(&self.said)))
    }
}

/// Returns words of somebody after a colon, and nothing where there are none.
pub(super) fn after_colon(said: Option<&str>) -> String {
    said.filter(|said| !said.is_empty()).map(|said| format!(": {said}")).unwrap_or_default()
}
