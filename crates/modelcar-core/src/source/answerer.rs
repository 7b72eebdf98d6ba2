//! Who answers for a model on the Hub, why it is refused, and what became of the token: for errors.

use std::fmt;

/// Who answered, or should have. What can be done about a refusal depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answerer {
    /// The Hugging Face Hub itself, by its host.
    Hub(Box<str>),
    /// Another server that speaks the Hub's language, by its host and port.
    Mirror(Box<str>),
    /// A store that the Hub or a mirror sends to for a file's bytes, by its host and port. It knows no token.
    Store(Box<str>),
    /// A proxy on the way to this host.
    Proxy(Box<str>),
}

impl Answerer {
    /// Returns the host and, where it is not the usual one, the port.
    pub fn host(&self) -> &str {
        match self {
            Self::Hub(host) | Self::Mirror(host) | Self::Store(host) | Self::Proxy(host) => host,
        }
    }

    /// Returns whether the answer says something of the model and of who may read it.
    pub fn knows_models(&self) -> bool {
        matches!(self, Self::Hub(_) | Self::Mirror(_))
    }
}

impl fmt::Display for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(host) => write!(f, "the Hub ({host})"),
            Self::Mirror(host) => write!(f, "the mirror at {host}"),
            Self::Store(host) => write!(f, "the store at {host}"),
            Self::Proxy(host) => write!(f, "the proxy before {host}"),
        }
    }
}

/// What became of the token in a request that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenUse {
    /// It was sent.
    Sent,
    /// There is none.
    Absent,
    /// There is none, for this reason.
    Unreadable(String),
    /// There is one. It is for the host that was asked, and was not sent to the host that the first one sends to.
    Withheld {
        /// The host that refused.
        refused: String,
    },
}

impl TokenUse {
    /// Returns whether there is no token.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent | Self::Unreadable(_))
    }

    /// Returns what a refusal says of the token, to stand behind it.
    pub(super) fn aside(&self) -> String {
        match self {
            Self::Sent => String::new(),
            Self::Absent => " (no token was sent)".to_owned(),
            Self::Unreadable(why) => format!(" (no token was sent: {why})"),
            Self::Withheld { refused } => format!(" (a redirect led to `{refused}`, and the token was not sent there)"),
        }
    }
}

/// Why a gated model can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateReason {
    /// The account has no access, and has not asked for it as far as is known.
    NoAccess,
    /// The account has asked, and nobody has decided yet.
    Pending,
    /// The authors turned the account down.
    Rejected,
    /// The account may have access, and its token lacks the permission to use it.
    TokenPermission,
}

impl GateReason {
    /// Reads the reason out of the Hub's words. The Hub has one error code for all of them.
    #[cfg(feature = "hub")]
    pub(super) fn read(message: &str) -> Self {
        let message = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["fine-grained", "token settings", "token does not have", "token lacks"]) {
            Self::TokenPermission
        } else if says(&["reject", "been denied", "been declined"]) {
            Self::Rejected
        } else if says(&["awaiting", "pending", "under review"]) {
            Self::Pending
        } else {
            Self::NoAccess
        }
    }

    /// Returns why the model can't be read, to stand behind its name.
    pub(super) fn told(self, token: &TokenUse) -> String {
        if *token != TokenUse::Sent {
            return token.aside();
        }
        match self {
            Self::NoAccess => ", and the token's account has no access to it",
            Self::Pending => ", and the request of the token's account for access is pending",
            Self::Rejected => ", and its authors rejected the request of the token's account for access",
            Self::TokenPermission => ", and the token lacks the permission to read gated models",
        }
        .to_owned()
    }
}

#[cfg(feature = "hub")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_hub_tell_why_a_model_is_closed() {
        for (message, expected) in [
            (
                "Please enable access to public gated repositories in your fine-grained token settings to view this \
                 repository.",
                GateReason::TokenPermission,
            ),
            ("Your request to access model o/n is awaiting a review from the repo authors.", GateReason::Pending),
            ("Your request to access model o/n has been rejected by the repo's authors.", GateReason::Rejected),
            (
                "Access to model o/n is restricted and you are not in the authorized list. Visit https://huggingface.co/o/n \
                 to ask for access.",
                GateReason::NoAccess,
            ),
            ("", GateReason::NoAccess),
        ] {
            assert_eq!(GateReason::read(message), expected, "{message}");
        }
    }
}
