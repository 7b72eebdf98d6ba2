//! Mistakes with decisions about reuse that an earlier library let through: they published an image that was not there, or
//! the weights of one model under the name of another. None of them compiles. `tests/traps` has the other mistakes.
//!
//! A program that keeps its options for the next model can't keep decisions in them:
//!
//! ```compile_fail,E0560
//! let kept = modelcar_core::BuildOptions { reuse: (), ..Default::default() };
//! ```
//!
//! The decisions of one push can't be taken out, for another plan, repository or tag:
//!
//! ```compile_fail,E0616
//! fn take(push: modelcar_core::push::PreparedPush) {
//!     let _decided = push.decided;
//! }
//! ```
//!
//! A decision that a program can see says nothing to another push:
//!
//! ```compile_fail,E0599
//! fn give(push: modelcar_core::push::Push, of_another: &modelcar_core::push::PreparedPush) {
//!     let _push = push.with_decisions(of_another.decisions());
//! }
//! ```
//!
//! A push that is prepared runs once:
//!
//! ```compile_fail,E0382
//! async fn twice(push: modelcar_core::push::PreparedPush) {
//!     let _first = push.run().await;
//!     let _second = push.run().await;
//! }
//! ```
//!
//! The build below a push sends every layer; there is no way to tell it that a layer is somewhere already:
//!
//! ```compile_fail,E0432
//! use modelcar_core::reuse::{Knowledge, ReuseOptions};
//! ```
//!
//! A tag is a type, so that `v 1!` is refused before weights move:
//!
//! ```compile_fail,E0308
//! fn sink(repository: modelcar_core::registry::Repository) {
//!     let _sink = modelcar_core::registry::RegistrySink::new(repository, vec![String::from("v 1!")]);
//! }
//! ```
