//! Tests of base images.
