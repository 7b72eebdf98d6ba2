//! What findings of `check`, `lint` and `render` have in common: a code, a severity, and a sentence that states a fact.
//!
//! What to do about a finding is for the caller to say, who knows which program its user has at hand.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// May fail, or fails under conditions that are not seen here.
    Warning,
    /// Fails.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Declares an enum of findings. Each row is a variant with its values, its code, and its sentence as `format!` takes it.
/// The code is a text, or asks one of the values for the text.
macro_rules! findings {
    (
        $(#[$of_enum:meta])*
        pub enum $name:ident {
            $(
                $(#[$of_variant:meta])*
                $variant:ident $({ $($(#[$of_field:meta])* $field:ident: $type:ty),+ $(,)? })? => $code:expr, $($sentence:expr),+;
            )+
        }
    ) => {
        $(#[$of_enum])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$of_variant])* $variant $({ $($(#[$of_field])* $field: $type),+ })?,)+
        }

        impl $name {
            /// Returns the name of the kind of finding, for programs. Kinds that a program need not tell apart share one.
            #[allow(clippy::match_same_arms, unused_variables, reason = "each row has its own arm, with all of its values")]
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant $({ $($field),+ })? => $code,)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            #[allow(unused_variables, reason = "a sentence need not have every value")]
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self {
                    $(Self::$variant $({ $($field),+ })? => ::std::write!(f, $($sentence),+),)+
                }
            }
        }
    };
}
pub(crate) use findings;
