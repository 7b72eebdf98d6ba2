//! The checks find each fault: implementations that are wrong in one way.

mod sinks;
mod sources;
