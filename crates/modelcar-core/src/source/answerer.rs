//! Parts of errors about a model on the Hub: which server answered, why access is refused, and whether the token was
//! sent.

use std::fmt;

/// The server that answered a request or should have answered. The remedy for a refusal depends on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answerer {
    /// The Hugging Face Hub itself, by its host.
    Hub(Box<str>),
    /// Another server with the Hub's API, by its host and port.
    Mirror(Box<str>),
    /// A store (CDN, S3) to which the Hub or a mirror redirects for a file's bytes, by its host and port. A store never
    /// gets the token.
    Store(Box<str>),
    /// A proxy between this program and the host that is named here.
    Proxy(Box<str>),
}

impl Answerer {
    /// Returns the host and, unless it is the default port of the scheme, the port.
    pub fn host(&self) -> &str {
        match self {
            Self::Hub(host) | Self::Mirror(host) | Self::Store(host) | Self::Proxy(host) => host,
        }
    }

    /// Returns whether an answer of this server says something about the model and about who may read it. The answer of
    /// a store or a proxy does not.
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

/// Whether the token was sent with a request that was refused, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenUse {
    /// The token was sent.
    Sent,
    /// There is no token.
    Absent,
    /// There is no token although the caller expected one, for this reason.
    Unreadable(String),
    /// There is a token, and it was not sent: a redirect led away from the endpoint, to which the token belongs.
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

    /// Returns a text about the token, for the end of an error message.
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
    /// The account has no access. Whether the account has requested access is not known.
    NoAccess,
    /// The account has requested access, and the authors have not decided yet.
    Pending,
    /// The authors have rejected the account's request.
    Rejected,
    /// The fine-grained token lacks the permission to read gated models. The account may have access.
    TokenPermission,
}

impl GateReason {
    /// Reads the reason from the text of the Hub's answer. The Hub has one error code for all reasons.
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

    /// Returns the reason as a text that follows the name of the model.
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
