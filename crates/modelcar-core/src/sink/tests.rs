//! Tests of the sinks on disk.
