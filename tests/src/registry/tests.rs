//! Owns the tests of the fake registry.
