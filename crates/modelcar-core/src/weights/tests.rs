//! Which files are surplus: pairs of names that are copies, and pairs that only look like it.

use super::*;

const GIB: u64 = 1 << 30;

/// Files from lines of a path and a size in MiB.
fn files(listing: &[(&str, u64)]) -> Vec<SourceFile> {
    let file = |(path, mib): &(&str, u64)| SourceFile { path: path.parse().unwrap(), size: mib << 20, content: None };
    listing.iter().map(file).collect()
}

fn globs(patterns: &[&str]) -> GlobSet {
    let mut set = globset::GlobSetBuilder::new();
    for pattern in patterns {
        set.add(globset::Glob::new(pattern).unwrap());
    }
    set.build().unwrap()
}

/// Returns the files that stay out, with the reason.
fn out(listing: &[(&str, u64)], chosen: &[&str]) -> Vec<String> {
    let files = files(listing);
    let files: Vec<&SourceFile> = files.iter().collect();
    let surplus = surplus(&files, &globs(chosen), &mut |_| None);
    assert!(surplus.choices.is_empty(), "{:?}", surplus.choices);
    surplus.files.iter().map(|(path, reason)| format!("{path}: {reason}")).collect()
}

fn choices(listing: &[(&str, u64)]) -> Vec<String> {
    let files = files(listing);
    let files: Vec<&SourceFile> = files.iter().collect();
    surplus(&files, &globs(&[]), &mut |_| None).choices.into_iter().map(|choice| choice.pattern).collect()
}

#[test]
fn a_copy_has_a_counterpart_of_its_name_and_size() {
    let of_model = |path: &str| format!("{path}: holds the same weights as `model.safetensors`, which is packed");
    for (copy, mib) in [
        ("pytorch_model.bin", 1000),
        ("pytorch_model.bin", 2000),
        ("tf_model.h5", 500),
        ("tf_model.h5", 1220),
        ("flax_model.msgpack", 1050),
        ("rust_model.ot", 4000),
        ("model.onnx", 1000),
        ("model_quantized.onnx", 280),
        ("model.fp16.safetensors", 500),
        ("consolidated.safetensors", 1000),
        ("model.tflite", 90),
        ("some-Q4_K_M.gguf", 300),
    ] {
        assert_eq!(out(&[("model.safetensors", 1000), (copy, mib)], &[]), [of_model(copy)], "{copy}");
    }
    // Of another size, name or folder: these are other weights.
    for (other, mib) in [
        ("pytorch_model.bin", 1500),
        ("pytorch_model.bin", 30),
        ("tf_model.h5", 30),
        ("value_head.bin", 1000),
        ("audiovae.pth", 1000),
        ("models_t5_umt5-xxl-enc-bf16.pth", 1000),
        ("2_Dense/pytorch_model.bin", 1000),
        ("model.non_ema.safetensors", 1000),
        ("consolidated.safetensors", 30),
        ("tokenizer.bin", 1000),
    ] {
        assert_eq!(out(&[("model.safetensors", 1000), (other, mib)], &[]), [""; 0], "{other}");
    }
}

#[test]
fn shards_are_one_counterpart_and_only_when_complete() {
    let whole = [
        ("model-00001-of-00002.safetensors", 600),
        ("model-00002-of-00002.safetensors", 400),
        ("model.safetensors.index.json", 1),
        ("pytorch_model-00001-of-00003.bin", 400),
        ("pytorch_model-00002-of-00003.bin", 400),
        ("pytorch_model-00003-of-00003.bin", 200),
        ("pytorch_model.bin.index.json", 1),
    ];
    let found = out(&whole, &[]);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].contains("`model-00001-of-00002.safetensors` and 1 more, which is packed"), "{found:?}");
    assert_eq!(found[3], "pytorch_model.bin.index.json: is the index of weights that stay out");
    assert_eq!(out(&whole[1..], &[]), [""; 0], "a shard of the counterpart is missing");
}

#[test]
fn the_index_decides_between_a_file_and_its_shards() {
    let mut both = vec![
        ("model-00001-of-00002.safetensors", 600),
        ("model-00002-of-00002.safetensors", 400),
        ("model.safetensors", 1000),
    ];
    let found = out(&both, &[]);
    assert!(found.len() == 2 && found[0].starts_with("model-00001"), "{found:?}");
    both.push(("model.safetensors.index.json", 1));
    let found = out(&both, &[]);
    assert!(found.len() == 1 && found[0].starts_with("model.safetensors: "), "{found:?}");
}

#[test]
fn folders_with_the_whole_model_stay_out_beside_safetensors_at_the_root() {
    for folder in ["original", "metal", "onnx", "openvino", "coreml", "saved_model"] {
        let weights = format!("{folder}/model.bin");
        let other = format!("{folder}/params.json");
        let beside = [("model.safetensors", 1000), (&*weights, 1000), (&*other, 1)];
        assert_eq!(out(&beside, &[]).len(), 2, "{folder}");
        assert_eq!(out(&beside[1..], &[]), [""; 0], "{folder} alone");
        let adapter = [("adapter_model.safetensors", 1000), (&*weights, 1000)];
        assert_eq!(out(&adapter, &[]), [""; 0], "{folder} beside an adapter");
        let notes = [("model.safetensors", 1000), (&*other, 1)];
        assert_eq!(out(&notes, &[]), [""; 0], "{folder} without weights");
        let large = [("model.safetensors", 1000), (&*weights, 9000)];
        assert_eq!(out(&large, &[]), [""; 0], "{folder} with another model");
    }
    let package = [("model.safetensors", 100), ("float32.mlpackage/Data/weights/weight.bin", 100)];
    assert_eq!(out(&package, &[]).len(), 1);
}

#[test]
fn parts_of_a_pipeline_have_counterparts_of_their_own() {
    let pipeline = [
        ("model_index.json", 1),
        ("text_encoder/model.safetensors", 100),
        ("text_encoder/pytorch_model.bin", 100),
        ("unet/diffusion_flax_model.msgpack", 800),
        ("unet/diffusion_pytorch_model.bin", 800),
        ("unet/diffusion_pytorch_model.fp16.safetensors", 400),
        ("unet/diffusion_pytorch_model.safetensors", 800),
        ("vae/diffusion_pytorch_model.bin", 80),
    ];
    let found: Vec<_> = out(&pipeline, &[]).iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(
        found,
        [
            "text_encoder/pytorch_model.bin",
            "unet/diffusion_flax_model.msgpack",
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.fp16.safetensors",
        ]
    );
    let found = out(&pipeline, &["*.fp16.*"]);
    assert!(found.iter().any(|line| line.starts_with("unet/diffusion_pytorch_model.safetensors: ")), "{found:?}");
    assert!(!found.iter().any(|line| line.starts_with("unet/diffusion_pytorch_model.fp16")), "{found:?}");
}

#[test]
fn states_of_a_training_stay_out_unless_nothing_else_holds_weights() {
    let trained = [
        ("checkpoint-500/model.safetensors", 1000),
        ("checkpoint-500/optimizer.pt", 2000),
        ("optimizer.pt", 2000),
        ("scheduler/scheduler_config.json", 1),
        ("trainer_state.json", 1),
    ];
    let found = out(&trained, &[]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(!found.iter().any(|line| line.starts_with("checkpoint-500/model")), "{found:?}");
    let mut with_model = trained.to_vec();
    with_model.push(("model.safetensors", 1000));
    assert_eq!(out(&with_model, &[]).len(), 4);
    assert_eq!(out(&[("optimizer.pt", 1)], &[]), [""; 0]);
}

#[test]
fn several_quantizations_need_a_choice_where_no_safetensors_hold_the_model() {
    let quantized = [
        ("m-Q4_K_M.gguf", 400),
        ("m-Q8_0-00001-of-00002.gguf", 500),
        ("m-Q8_0-00002-of-00002.gguf", 300),
        ("mmproj-f16.gguf", 100),
        ("m-imatrix.gguf", 5),
    ];
    assert_eq!(choices(&quantized), ["m-Q4_K_M.gguf", "m-Q8_0-*-of-00002.gguf"]);
    for (at, pattern) in choices(&quantized).iter().enumerate() {
        let found = out(&quantized, &[pattern]);
        assert_eq!(found.len(), 2 - at, "the other one alone stays out: {found:?}");
    }
    assert_eq!(choices(&quantized[3..]), [""; 0]);

    let mut beside = quantized.to_vec();
    beside.push(("model.safetensors", 1000));
    assert_eq!(out(&beside, &[]).len(), 5, "all of GGUF stays out");
    let found = out(&beside, &["*Q4_K_M*"]);
    assert!(
        found
            .iter()
            .any(|line| line == "model.safetensors: holds the same weights as `m-Q4_K_M.gguf`, which was chosen")
    );
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn precisions_without_a_plain_one_need_a_choice() {
    let two = [("unet/m.fp16.safetensors", 500), ("unet/m.fp32.safetensors", 1000), ("vae/m.fp16.safetensors", 9)];
    assert_eq!(choices(&two), ["unet/m.fp16.safetensors", "unet/m.fp32.safetensors"]);
    let found = out(&two, &["*.fp16.*"]);
    assert!(found.len() == 1 && found[0].starts_with("unet/m.fp32"), "{found:?}");
    assert_eq!(choices(&two[1..]), [""; 0]);
}

#[test]
fn counts_from_headers_come_before_sizes() {
    let listing = files(&[("consolidated.safetensors", 300), ("model.safetensors", 1000), ("other.gguf", 400)]);
    let listing: Vec<&SourceFile> = listing.iter().collect();
    let found = |consolidated: u64, gguf: u64| {
        let mut count = |files: &[&SourceFile]| {
            Some(match files[0].path.as_str() {
                "model.safetensors" => GIB,
                "other.gguf" => gguf,
                _ => consolidated,
            })
        };
        surplus(&listing, &globs(&[]), &mut count).files.len()
    };
    assert_eq!(found(GIB, GIB), 2, "equal counts, though the sizes do not fit");
    assert_eq!(found(GIB / 3, GIB), 1);
    assert_eq!(found(GIB, 2 * GIB), 1, "a larger model is another one");
    assert_eq!(found(GIB, GIB - GIB / 4), 2, "without the part that sees");
}

/// Names of a hostile listing: many sets, all of one family.
#[test]
fn many_sets_are_compared_in_bounded_time() {
    let listing: Vec<SourceFile> = (2..2000)
        .map(|of| SourceFile { path: format!("m-00001-of-{of:05}.bin").parse().unwrap(), size: 1 << 30, content: None })
        .collect();
    let listing: Vec<&SourceFile> = listing.iter().collect();
    assert!(surplus(&listing, &globs(&[]), &mut |_| None).files.is_empty());
}
