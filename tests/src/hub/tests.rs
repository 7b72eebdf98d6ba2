//! Owns the tests of the fake Hub.
