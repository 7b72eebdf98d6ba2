//! One program that fuzzes any of the parsers of bytes that others wrote. `tests/fuzz/run` builds and starts it.
//!
//! A target reads an input and checks what must hold for every input. libFuzzer takes a panic, a slow input and a large
//! one in memory for a finding.
#![no_main]

mod checks;
mod hub;
mod images;
mod layers;
mod logins;
mod memory;
mod models;
mod pods;

use std::{env, sync::OnceLock};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

type Target = fn(&[u8]);

/// Changes the input in the first bytes of a buffer, and returns how many bytes the changed input has.
type Mutator = fn(&mut [u8], usize, u32) -> usize;

/// The variable that names the target.
const VARIABLE: &str = "MODELCAR_FUZZ";

/// Every target has a folder of its name in `corpus/`.
const TARGETS: [(&str, Target); 13] = [
    ("challenge", logins::challenge),
    ("docker_config", logins::docker_config),
    ("gguf", models::gguf),
    ("headers", hub::headers),
    ("layer", layers::layer),
    ("layer-gzip", layers::layer_gzip),
    ("layout", images::layout),
    ("listing", hub::listing),
    ("lock", images::lock),
    ("manifest", images::manifest),
    ("model", models::model),
    ("pods", pods::pods),
    ("safetensors", models::safetensors),
];

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> Target {
    let name = env::var(VARIABLE).unwrap_or_default();
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    let names = TARGETS.map(|(target, _)| target).join(", ");
    found.unwrap_or_else(|| panic!("{VARIABLE} is `{name}` and must be one of {names}")).1
}

fuzz_target!(|data: &[u8]| TARGET.get_or_init(target)(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mutate: Mutator = match env::var(VARIABLE).as_deref() {
        Ok("safetensors") => models::mutate_safetensors,
        _ => |data, size, _| fuzzer_mutate(data, size, data.len()),
    };
    mutate(&mut data[..max_size], size, seed)
});
