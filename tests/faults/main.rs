//! What goes wrong between a push and a registry, the Hub or an object store, and what comes of it, as three tables:
//!
//! ```sh
//! cargo test -p modelcar-core --test faults -- --nocapture
//! ```
//!
//! Every row pushes the same model to a registry of its own that misbehaves. A push that survives gives the digest that
//! it gives without faults; one that fails leaves no tag, no index and no open session. No error and no log shows a
//! secret.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a broken set-up is a failed test"
)]

mod auth;
mod bits;
mod hostile;
mod hub;
mod modes;
mod quirks;
mod retry;
mod run;
mod schedules;
mod stores;
mod verify;

use std::collections::BTreeSet;

use run::{Model, Row};

/// Fewest rows that the table has.
const ROWS: usize = 60;

#[test]
fn table() {
    let model = Model::new();
    let clean = model.run(Row::survives("none", "no fault")).digest.expect("a clean push works");
    let rows: Vec<Row> = [retry::rows(), modes::rows(), auth::rows(), quirks::rows(), hostile::rows(), verify::rows()]
        .into_iter()
        .flatten()
        .collect();
    let names: BTreeSet<_> = rows.iter().map(|row| (row.area, row.fault.clone())).collect();
    assert_eq!(names.len(), rows.len(), "two rows have one name");
    assert!(rows.len() >= ROWS, "{} rows", rows.len());
    let (mut survived, mut failed, mut wrong) = (0, 0, Vec::new());
    for row in rows {
        let (area, fault) = (row.area, row.fault.clone());
        let run = model.run(row);
        match &run.digest {
            Some(_) => survived += 1,
            None => failed += 1,
        }
        println!("{area:<18} {fault:<66} {:>5} ms  {}", run.millis, run.outcome(&clean));
        wrong.extend(run.wrong(&clean).map(|problem| format!("{area}: {fault}: {problem}")));
    }
    println!("\n{} rows: {survived} survive with {clean}, {failed} fail with nothing published", survived + failed);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
