use std::{collections::BTreeMap, fs, path::Path};

use proptest::{option, prelude::*};
use serde_json::json;

use super::*;
use crate::{
    ContentId,
    source::{DirSource, Source, SourceFile},
};

async fn facts(dir: &Path) -> ModelFacts {
    let source = DirSource::open(dir).await.unwrap();
    let files = source.list().await.unwrap();
    ModelFacts::read(&source, &files.iter().collect::<Vec<_>>(), &[]).await.unwrap()
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(dir.join(name), content).unwrap();
}

/// A file with a header of these tensors (name, format, shape, bytes), padded with spaces to `pad` bytes of JSON.
fn safetensors(tensors: &[(&str, &str, &[u64], u64)], pad: usize) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut at = 0;
    for (name, dtype, shape, bytes) in tensors {
        header.insert((*name).into(), json!({"dtype": dtype, "shape": shape, "data_offsets": [at, at + bytes]}));
        at += bytes;
    }
    let mut text = serde_json::Value::Object(header).to_string();
    text.extend(std::iter::repeat_n(' ', pad.saturating_sub(text.len())));
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(text.as_bytes());
    file.resize(file.len() + usize::try_from(at).unwrap(), 7);
    file
}

/// Writes a model of two shards with an index.
fn write_shards(dir: &Path) {
    write(dir, "config.json", QWEN);
    write(dir, "tokenizer.json", "{}");
    write(dir, "model-00001-of-00002.safetensors", safetensors(&[("a", "BF16", &[3], 6)], 0));
    write(dir, "model-00002-of-00002.safetensors", safetensors(&[("b", "BF16", &[5], 10)], 0));
    let index =
        json!({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}});
    write(dir, "model.safetensors.index.json", index.to_string());
}

async fn examined(dir: &Path) -> Examined {
    let source = DirSource::open(dir).await.unwrap();
    let files = source.list().await.unwrap();
    examine(&source, &files.iter().collect::<Vec<_>>(), &[]).await.unwrap()
}

async fn flaws(dir: &Path) -> Vec<String> {
    examined(dir).await.flaws.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_model_with_a_part_missing_or_broken_is_not_whole() {
    let shard = "model-00002-of-00002.safetensors";
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4999802720\n", "0".repeat(64));
    let good = safetensors(&[("b", "BF16", &[5], 10)], 0);
    let cases: [(&str, &str, Option<Vec<u8>>, &str); 11] = [
        ("whole", "README.md", Some(b"# model".to_vec()), ""),
        ("a shard is missing", shard, None, "shard `model-00002-of-00002.safetensors` is missing"),
        (
            "a pointer",
            shard,
            Some(pointer.clone().into()),
            "`model-00002-of-00002.safetensors` is a git-lfs pointer, not the file itself",
        ),
        (
            "a pointer",
            "tokenizer.json",
            Some(pointer.into()),
            "`tokenizer.json` is a git-lfs pointer, not the file itself",
        ),
        (
            "a page",
            shard,
            Some(b"<html>Access denied</html>".to_vec()),
            "`model-00002-of-00002.safetensors` is an HTML page, not weights",
        ),
        ("nothing", shard, Some(Vec::new()), "`model-00002-of-00002.safetensors` is empty"),
        (
            "noise",
            shard,
            Some(vec![9; 4000]),
            "`model-00002-of-00002.safetensors` does not begin with the header of its format",
        ),
        ("cut off", shard, Some(good[..good.len() - 3].to_vec()), "is truncated: it has"),
        ("cut off in the header", shard, Some(good[..40].to_vec()), "is truncated: it has 40 bytes"),
        (
            "another tensor",
            shard,
            Some(safetensors(&[("c", "BF16", &[5], 10)], 0)),
            "`model.safetensors.index.json` names tensors that no file has: `b`",
        ),
        ("empty pickle", "head.bin", Some(Vec::new()), "`head.bin` is empty"),
    ];
    for (what, name, content, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        write_shards(dir.path());
        match content {
            Some(content) => write(dir.path(), name, content),
            None => fs::remove_file(dir.path().join(name)).unwrap(),
        }
        let Examined { facts, flaws } = examined(dir.path()).await;
        let told: Vec<String> = flaws.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), usize::from(!expected.is_empty()), "{what}: {told:?}");
        assert!(told.iter().all(|flaw| flaw.contains(expected)), "{what}: {told:?}");
        assert_eq!(facts.is_broken(), !expected.is_empty(), "{what}");
        assert_eq!(ModelFacts::from_annotations(&facts.to_annotations()), facts, "{what}");
    }
}

#[tokio::test]
async fn a_stale_index_beside_whole_weights_only_looks_wrong() {
    let dir = tempfile::tempdir().unwrap();
    write_shards(dir.path());
    for number in 1..3 {
        fs::remove_file(dir.path().join(format!("model-0000{number}-of-00002.safetensors"))).unwrap();
    }
    write(dir.path(), "model.safetensors", safetensors(&[("a", "BF16", &[3], 6), ("b", "BF16", &[5], 10)], 0));
    let Examined { facts, flaws } = examined(dir.path()).await;
    let [flaw @ Flaw::StaleIndex { .. }] = flaws.as_slice() else { panic!("{flaws:?}") };
    assert!(!flaw.is_broken() && !facts.is_broken() && facts.flaws.len() == 1, "{flaw}");
    assert_eq!(facts.parameters, Some(8));
}

#[tokio::test]
async fn a_file_with_more_than_its_header_says_only_looks_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let whole = safetensors(&[("a", "BF16", &[3], 6)], 0);
    write(dir.path(), "config.json", QWEN);
    write(dir.path(), "model.safetensors", [&whole[..], b"xx"].concat());
    let Examined { facts, flaws } = examined(dir.path()).await;
    assert!(matches!(flaws.as_slice(), [Flaw::TrailingBytes { .. }]), "{flaws:?}");
    assert!(!facts.is_broken() && facts.parameters == Some(3), "{facts:?}");
}

#[tokio::test]
async fn each_weight_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    write_shards(dir.path());
    write(dir.path(), "model.safetensors", safetensors(&[("a", "BF16", &[3], 6), ("b", "BF16", &[5], 10)], 0));
    fs::create_dir(dir.path().join("checkpoint-10")).unwrap();
    write(dir.path(), "checkpoint-10/model.safetensors", safetensors(&[("a", "BF16", &[3], 6)], 0));
    assert_eq!(facts(dir.path()).await.parameters, Some(8));

    let pipeline = tempfile::tempdir().unwrap();
    for part in ["unet", "vae"] {
        fs::create_dir(pipeline.path().join(part)).unwrap();
        let name = format!("{part}/diffusion_pytorch_model.safetensors");
        write(pipeline.path(), &name, safetensors(&[(part, "F16", &[4], 8)], 0));
    }
    write(pipeline.path(), "model_index.json", "{}");
    write(pipeline.path(), "all-in-one.safetensors", safetensors(&[("x", "F16", &[8], 16)], 0));
    let found = facts(pipeline.path()).await;
    assert_eq!((found.parameters, found.library), (Some(8), Some(Library::Diffusers)));
}

#[tokio::test]
async fn an_adapter_is_told_apart_from_a_model() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "adapter_config.json", r#"{"base_model_name_or_path": "meta-llama/Llama-3.1-8B", "r": 16}"#);
    write(dir.path(), "adapter_model.safetensors", safetensors(&[("a", "F32", &[2], 8)], 0));
    let Examined { facts, .. } = examined(dir.path()).await;
    assert_eq!((facts.library, facts.adapter_rank), (Some(Library::Peft), Some(16)));
    assert_eq!(
        flaws(dir.path()).await,
        ["the weights are an adapter alone; the base model is `meta-llama/Llama-3.1-8B`"]
    );
    assert!(!facts.is_broken());
}

#[tokio::test]
async fn a_gguf_file_is_as_long_as_its_header_says() {
    let dir = tempfile::tempdir().unwrap();
    let whole = gguf(3);
    let bytes = whole.len();
    write(dir.path(), "m.gguf", &whole);
    assert_eq!(flaws(dir.path()).await, [""; 0]);
    write(dir.path(), "m.gguf", &whole[..bytes - 1]);
    assert_eq!(
        flaws(dir.path()).await,
        [format!("`m.gguf` is truncated: it has {} bytes, its header says {bytes}", bytes - 1)]
    );
}

const QWEN: &str = r#"{"architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "max_position_embeddings": 32768,
    "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "torch_dtype": "bfloat16"}"#;

#[tokio::test]
async fn shards_are_counted_whatever_the_length_of_their_headers() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "config.json", QWEN);
    write(dir.path(), "tokenizer_config.json", r#"{"chat_template": "{{ messages }}"}"#);
    // The second header needs a second read.
    let first = safetensors(&[("a", "BF16", &[3, 5], 30), ("scale", "F32", &[1], 4)], 0);
    let second =
        safetensors(&[("b", "BF16", &[7], 14), ("empty", "BF16", &[0, 9], 0), ("scalar", "BF16", &[], 2)], 100_000);
    let bytes = (first.len() + second.len()) as u64;
    write(dir.path(), "model-00001-of-00002.safetensors", first);
    write(dir.path(), "model-00002-of-00002.safetensors", second);
    let expected = ModelFacts {
        format: Some(WeightFormat::Safetensors),
        architecture: Some("Qwen2ForCausalLM".into()),
        task: Some(Task::TextGeneration),
        dtype: Some("BF16".into()),
        quantization: None,
        parameters: Some(15 + 1 + 7 + 1),
        weight_bytes: Some(bytes),
        context_length: Some(32768),
        // 24 layers × 2 heads × 64 numbers × keys and values × 2 bytes.
        cache_bytes_per_token: Some(12_288),
        attention_heads: Some(14),
        chat_template: Some(true),
        library: Some(Library::Transformers),
        ..ModelFacts::default()
    };
    assert_eq!(facts(dir.path()).await, expected);
}

#[tokio::test]
async fn a_header_that_lies_leaves_the_counts_open() {
    let good = safetensors(&[("a", "BF16", &[4], 8)], 0);
    let mut too_long = good.clone();
    too_long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let backwards = String::from_utf8_lossy(&good).replace("[0,8]", "[8,0]").into_bytes();
    let overflow = String::from_utf8_lossy(&good).replace("[4]", "[18446744073709551615,2]").into_bytes();
    for (name, bad) in [
        ("too long", too_long),
        ("short", vec![1; 5]),
        ("no JSON", [&16_u64.to_le_bytes()[..], &[b'x'; 40]].concat()),
        ("backwards", backwards),
        ("overflow", [&(good.len() as u64 + 8).to_le_bytes()[..], &overflow[8..]].concat()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.safetensors", &good);
        write(dir.path(), "b.safetensors", &bad);
        let facts = facts(dir.path()).await;
        assert_eq!((facts.parameters, facts.dtype), (None, None), "{name}");
        assert_eq!(facts.weight_bytes, Some((good.len() + bad.len()) as u64), "{name}");
    }
}

#[test]
fn a_header_is_understood_or_not_as_a_whole() {
    let elements = |header: &str| safetensors::parse(header.as_bytes()).and_then(|tensors| tensors.elements());
    let tensor = |dtype: &str, shape: &str| format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,8]}}"#);
    let two = format!(r#"{{"a":{},"b":{}}}"#, tensor("F8", "[2,3]"), tensor("F32", "[]"));
    assert_eq!(elements(&two), Some(7));
    // What metadata looks like is nobody's business.
    let metadata = format!(r#"{{"__metadata__":{{"shape":"x","dtype":[1]}},"a":{}}}"#, tensor("F8", "[2,3]"));
    assert_eq!(elements(&metadata), Some(6));
    assert_eq!(elements(&format!(r#"{{"a":{}}}"#, tensor("F8", "[1,1,1,1,1,1,1,2]"))), Some(2));
    let formats = |count: usize| {
        let tensors: Vec<_> = (0..count).map(|at| format!(r#""{at}":{}"#, tensor(&format!("F{at}"), "[1]"))).collect();
        format!("{{{}}}", tensors.join(","))
    };
    assert_eq!(elements(&formats(64)), Some(64));
    for bad in [
        formats(65),
        format!(r#"{{"a":{}}}"#, tensor("F8", "[1,1,1,1,1,1,1,1,1]")),
        format!(r#"{{"a":{}}}"#, tensor("F8", "[-1]")),
        format!(r#"{{"a":{}}}"#, tensor("", "[1]")),
        r#"{"a":{"dtype":"F8","shape":[1]}}"#.to_owned(),
        r#"{"a":7}"#.to_owned(),
        "[]".to_owned(),
        format!(r#"{{"a":{}}} x"#, tensor("F8", "[1]")),
    ] {
        assert_eq!(elements(&bad), None, "{bad}");
    }
}

#[tokio::test]
async fn long_headers_are_read_too() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        write(dir.path(), &format!("{name}.safetensors"), safetensors(&[("t", "BF16", &[3, 5], 30)], 3 << 20));
    }
    assert_eq!(facts(dir.path()).await.parameters, Some(45));
}

#[tokio::test]
async fn a_configuration_that_is_none_is_no_error() {
    for config in ["", "[]", "{\"architectures\": 7}", "{\"architectures\": [\"a\\nb\"], \"num_hidden_layers\": -1}"] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "config.json", config);
        let found = facts(dir.path()).await;
        let (library, flaws) = (found.library, BTreeSet::from(["no-weights".to_owned()]));
        assert_eq!(found, ModelFacts { library, flaws, ..ModelFacts::default() }, "{config}");
    }
}

fn config_facts(config: &serde_json::Value) -> ModelFacts {
    let mut facts = ModelFacts::default();
    config::add(&mut facts, config);
    facts
}

#[test]
fn configurations_of_many_kinds() {
    let nested = json!({"architectures": ["Gemma3ForConditionalGeneration"], "text_config":
        {"max_position_embeddings": 131_072, "num_hidden_layers": 34, "num_attention_heads": 8,
         "num_key_value_heads": 4, "head_dim": 256, "hidden_size": 2560}});
    let facts = config_facts(&nested);
    assert_eq!(facts.context_length, Some(131_072));
    assert_eq!(facts.cache_bytes_per_token, Some(34 * 4 * 256 * 4));
    assert_eq!(facts.task, Some(Task::ImageTextToText));
    // DeepSeek's compressed cache: 61 × (512 + 64) × 2 bytes.
    let latent = json!({"architectures": ["DeepseekV3ForCausalLM"], "num_hidden_layers": 61, "kv_lora_rank": 512,
        "qk_rope_head_dim": 64, "num_attention_heads": 128, "hidden_size": 7168,
        "quantization_config": {"quant_method": "fp8"}});
    let facts = config_facts(&latent);
    assert_eq!(facts.cache_bytes_per_token, Some(70_272));
    assert_eq!(facts.quantization.as_deref(), Some("fp8"));
    let old = json!({"architectures": ["GPT2LMHeadModel"], "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12});
    assert_eq!(config_facts(&old).cache_bytes_per_token, Some(12 * 12 * 64 * 4));
    assert_eq!(config_facts(&json!({"architectures": ["BertModel"]})).task, Some(Task::Embedding));
}

#[test]
fn classes_of_one_name_are_told_apart() {
    let task = |architecture: &str, more: serde_json::Value| {
        let mut config = json!({"architectures": [architecture]});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config_facts(&config).task
    };
    for (architecture, more, expected) in [
        ("T5ForConditionalGeneration", json!({}), Some(Task::TextToText)),
        ("MBartForConditionalGeneration", json!({"is_encoder_decoder": true}), Some(Task::TextToText)),
        ("PegasusForConditionalGeneration", json!({"is_encoder_decoder": true}), Some(Task::TextToText)),
        ("MarianMTModel", json!({"is_encoder_decoder": true}), Some(Task::TextToText)),
        ("WhisperForConditionalGeneration", json!({"is_encoder_decoder": true, "num_mel_bins": 80}), None),
        (
            "Florence2ForConditionalGeneration",
            json!({"is_encoder_decoder": true, "vision_config": {}}),
            Some(Task::ImageTextToText),
        ),
        ("Qwen2_5_VLForConditionalGeneration", json!({"vision_config": {}}), Some(Task::ImageTextToText)),
        ("Mistral3ForConditionalGeneration", json!({}), Some(Task::ImageTextToText)),
        ("BertForTokenClassification", json!({}), Some(Task::Classification)),
        ("BertForQuestionAnswering", json!({}), None),
    ] {
        assert_eq!(task(architecture, more), expected, "{architecture}");
    }
    assert_eq!(Task::from_text("text2text-generation"), Some(Task::TextToText));
    assert_eq!(serde_json::to_value(Task::TextToText).unwrap(), json!("text2text-generation"));
}

/// A GGUF file with one tensor and a vocabulary of `words` words.
fn gguf(words: usize) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    let string = |file: &mut Vec<u8>, text: &str| {
        file.extend_from_slice(&(text.len() as u64).to_le_bytes());
        file.extend_from_slice(text.as_bytes());
    };
    file.extend_from_slice(&3_u32.to_le_bytes());
    file.extend_from_slice(&1_u64.to_le_bytes());
    file.extend_from_slice(&9_u64.to_le_bytes());
    string(&mut file, "general.architecture");
    file.extend_from_slice(&8_u32.to_le_bytes());
    string(&mut file, "qwen2");
    for (key, value) in [
        ("general.file_type", 15_u32),
        ("qwen2.context_length", 32768),
        ("qwen2.block_count", 24),
        ("qwen2.embedding_length", 896),
        ("qwen2.attention.head_count", 14),
        ("qwen2.attention.head_count_kv", 2),
    ] {
        string(&mut file, key);
        file.extend_from_slice(&4_u32.to_le_bytes());
        file.extend_from_slice(&value.to_le_bytes());
    }
    string(&mut file, "tokenizer.ggml.tokens");
    file.extend_from_slice(&9_u32.to_le_bytes());
    file.extend_from_slice(&8_u32.to_le_bytes());
    file.extend_from_slice(&(words as u64).to_le_bytes());
    (0..words).for_each(|word| string(&mut file, &format!("word{word}")));
    string(&mut file, "tokenizer.chat_template");
    file.extend_from_slice(&8_u32.to_le_bytes());
    string(&mut file, &"{{ x }}".repeat(100));
    string(&mut file, "output.weight");
    file.extend_from_slice(&2_u32.to_le_bytes());
    file.extend_from_slice(&896_u64.to_le_bytes());
    file.extend_from_slice(&1000_u64.to_le_bytes());
    file.extend_from_slice(&12_u32.to_le_bytes());
    file.extend_from_slice(&0_u64.to_le_bytes());
    let bytes = usize::try_from(gguf::parse(&file).unwrap().file_bytes).unwrap();
    file.resize(bytes, 0);
    file
}

#[tokio::test]
async fn gguf_headers_are_read_as_far_as_they_reach() {
    for words in [3, 150_000] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "m-Q4_K_M.gguf", gguf(words));
        let facts = facts(dir.path()).await;
        assert_eq!(facts.format, Some(WeightFormat::Gguf));
        assert_eq!(facts.architecture.as_deref(), Some("qwen2"));
        assert_eq!(facts.quantization.as_deref(), Some("Q4_K_M"));
        assert_eq!(facts.parameters, Some(896_000));
        assert_eq!(facts.context_length, Some(32768));
        assert_eq!(facts.cache_bytes_per_token, Some(12_288));
        assert_eq!(facts.chat_template, Some(true));
        assert_eq!(facts.file.as_deref(), Some("m-Q4_K_M.gguf"));
    }
}

#[tokio::test]
async fn a_projector_is_not_the_model() {
    let dir = tempfile::tempdir().unwrap();
    // By its name it comes first, and what it says of itself is not of the model.
    let mut projector = gguf(3);
    let at = projector.windows(5).position(|part| part == b"qwen2").unwrap();
    projector[at..at + 5].copy_from_slice(b"clip2");
    write(dir.path(), "MMProj-model-f16.gguf", projector);
    write(dir.path(), "model-Q4_K_M.gguf", gguf(3));
    let facts = facts(dir.path()).await;
    assert_eq!(facts.file.as_deref(), Some("model-Q4_K_M.gguf"));
    assert_eq!(facts.architecture.as_deref(), Some("qwen2"));
    assert_eq!(facts.weight_bytes, Some(2 * gguf(3).len() as u64));
}

#[test]
fn numbers_of_a_gguf_header_that_make_no_sense_are_left_out() {
    let good = gguf(3);
    let key = "qwen2.context_length";
    let at = good.windows(key.len()).position(|part| part == key.as_bytes()).unwrap() + key.len();
    for (kind, bytes, expected) in [
        (5_u32, (-1_i32).to_le_bytes().to_vec(), None),
        (5, 4096_i32.to_le_bytes().to_vec(), Some(4096)),
        (11, (-5_i64).to_le_bytes().to_vec(), None),
        (11, 4096_i64.to_le_bytes().to_vec(), Some(4096)),
        (10, u64::MAX.to_le_bytes().to_vec(), None),
        (10, (1_u64 << 40).to_le_bytes().to_vec(), None),
        (4, u32::MAX.to_le_bytes().to_vec(), Some(u64::from(u32::MAX))),
        (4, 0_u32.to_le_bytes().to_vec(), None),
    ] {
        let other = [&good[..at], &kind.to_le_bytes(), &bytes, &good[at + 8..]].concat();
        let mut facts = ModelFacts::default();
        gguf::parse(&other).unwrap().add_to(&mut facts);
        assert_eq!(facts.context_length, expected, "{kind} {bytes:?}");
    }
}

#[test]
fn gguf_headers_that_lie_are_refused() {
    let good = gguf(3);
    assert!(gguf::parse(&good).is_ok());
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        gguf::parse(&bad)
    };
    assert_eq!(with(0, b"GGML"), Err(gguf::Stop::Invalid));
    assert_eq!(with(4, &9_u32.to_le_bytes()), Err(gguf::Stop::Invalid));
    assert_eq!(with(8, &u64::MAX.to_le_bytes()), Err(gguf::Stop::Invalid));
    assert_eq!(with(16, &u64::MAX.to_le_bytes()), Err(gguf::Stop::Invalid));
    assert_eq!(with(24, &u64::MAX.to_le_bytes()), Err(gguf::Stop::Invalid));
    // Behind the header lie up to 31 bytes of padding and the tensor.
    let header_end = good.len() - 504_000 - 31;
    for len in (0..header_end).step_by(7) {
        assert_eq!(gguf::parse(&good[..len]), Err(gguf::Stop::NeedMore), "{len}");
    }
}

/// The files of a directory with their contents.
async fn known(dir: &Path) -> Vec<SourceFile> {
    let source = DirSource::open(dir).await.unwrap();
    source.identify(source.list().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_an_image_states_of_the_same_files_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "config.json", QWEN);
    write(dir.path(), "README.md", "text");
    write(dir.path(), "model.safetensors", safetensors(&[("a", "BF16", &[4], 8)], 0));
    let read = facts(dir.path()).await;
    let files = known(dir.path()).await;
    let mut annotations = BTreeMap::new();
    // What no file says shows that it was taken over.
    let stated = ModelFacts { parameters: Some(7), chat_template: Some(true), ..read.clone() };
    stated.annotate(&mut annotations);
    let image = [StatedFacts::new(&annotations, files.clone()).unwrap()];
    let source = DirSource::open(dir.path()).await.unwrap();
    let of = async |files: &[SourceFile]| {
        ModelFacts::read(&source, &files.iter().collect::<Vec<_>>(), &image).await.unwrap()
    };
    assert_eq!(of(&files).await, stated);
    let changed = async |name: &str| {
        let content = ContentId::Sha256([9; 32]);
        let other = |file: &SourceFile| {
            let changed = (file.path.as_str() == name).then_some(content);
            SourceFile { content: changed.or(file.content), ..file.clone() }
        };
        let image = StatedFacts::new(&annotations, files.iter().map(other).collect()).unwrap();
        ModelFacts::read(&source, &files.iter().collect::<Vec<_>>(), &[image]).await.unwrap()
    };
    assert_eq!(changed("README.md").await, stated);
    assert_eq!(changed("config.json").await, ModelFacts { parameters: Some(7), ..read.clone() });
    assert_eq!(changed("model.safetensors").await, read);
    let more = SourceFile { path: "model.safetensors.part".parse().unwrap(), size: 1, content: None };
    assert_eq!(of(&[files.clone(), vec![more]].concat()).await.chat_template, None);
    let unknown: Vec<_> = files.iter().map(|file| SourceFile { content: None, ..file.clone() }).collect();
    assert_eq!(of(&unknown).await, read);
    let without: Vec<_> = files.iter().filter(|file| file.path.as_str() != "config.json").cloned().collect();
    // The configuration tells which weights a server loads.
    assert_eq!((of(&without).await.architecture, of(&without).await.parameters), (None, Some(4)));

    // Whether the files say something else or nothing.
    for key in ["io.modelcar.model.dtype", "io.modelcar.model.quantization"] {
        let mut by_hand = BTreeMap::from([(key.to_owned(), "mine".to_owned())]);
        stated.annotate(&mut by_hand);
        assert_eq!(StatedFacts::new(&by_hand, files.clone()), None);
    }
    let forged = ModelFacts { file: Some("x".to_owned()), dtype: Some("a\nb".to_owned()), ..stated };
    let mut foreign = BTreeMap::new();
    forged.annotate(&mut foreign);
    let taken = StatedFacts::new(&foreign, files.clone()).unwrap().facts;
    assert_eq!((taken.file, taken.dtype), (None, None));
    annotations.insert("io.modelcar.model.rules".to_owned(), "0".to_owned());
    assert_eq!(StatedFacts::new(&annotations, files), None);
}

#[test]
fn facts_survive_the_way_through_annotations() {
    let facts = ModelFacts {
        format: Some(WeightFormat::Gguf),
        architecture: Some("qwen2".into()),
        task: Some(Task::ImageTextToText),
        dtype: Some("Q4_K_M".into()),
        quantization: Some("Q4_K_M".into()),
        parameters: Some(7),
        weight_bytes: Some(u64::MAX),
        context_length: Some(32768),
        cache_bytes_per_token: Some(12_288),
        attention_heads: Some(14),
        chat_template: Some(false),
        file: Some("a b.gguf".into()),
        library: Some(Library::LlamaCpp),
        remote_code: Some(true),
        adapter_base: Some("o/base".into()),
        adapter_rank: Some(16),
        flaws: BTreeSet::from(["missing-shards".into(), "stale-index".into()]),
    };
    let annotations = facts.to_annotations();
    assert_eq!(annotations.len(), 17);
    assert_eq!(ModelFacts::from_annotations(&annotations), facts);
    let mut broken = annotations;
    for value in broken.values_mut() {
        "?".clone_into(value);
    }
    let read = ModelFacts::from_annotations(&broken);
    assert_eq!((read.format, read.task, read.parameters, read.chat_template), (None, None, None, None));
    assert_eq!(ModelFacts::from_annotations(&ModelFacts::default().to_annotations()), ModelFacts::default());
}

proptest! {
    /// An image that is made again from what it states has the same annotations, so the same digest.
    #[test]
    fn what_is_written_reads_back_as_it_was(
        texts in [(); 3].map(|()| option::of("[a-zA-Z0-9 \n\u{e9}]{0,200}")),
        numbers in [(); 5].map(|()| option::of(any::<u64>())),
        name in "[a-z \u{e9}/]{0,400}\\.gguf",
        kind in 0..4_usize,
        chat_template in option::of(any::<bool>()),
    ) {
        let [architecture, dtype, quantization] = texts;
        let [parameters, weight_bytes, context_length, cache_bytes_per_token, attention_heads] = numbers;
        let format = [None, Some(WeightFormat::Gguf), Some(WeightFormat::Onnx), Some(WeightFormat::Safetensors)][kind];
        let task = [None, Some(Task::TextToText), Some(Task::Embedding), Some(Task::TextGeneration)][kind];
        let facts = ModelFacts {
            format, architecture, task, dtype, quantization, parameters, weight_bytes, context_length,
            cache_bytes_per_token, attention_heads, chat_template, file: Some(name.clone()), ..ModelFacts::default()
        };
        let path = name.parse();
        let files = path.map(|path| SourceFile { path, size: 1, content: Some(ContentId::Sha256([7; 32])) });
        let mut written = BTreeMap::new();
        facts.annotate(&mut written);
        let stated = StatedFacts::new(&written, files.into_iter().collect()).unwrap();
        let mut again = BTreeMap::new();
        stated.facts.annotate(&mut again);
        prop_assert_eq!(again, written);
    }
}

#[tokio::test]
async fn a_long_name_is_stated_and_believed() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("{}/{}.gguf", "d".repeat(80), "q".repeat(80));
    fs::create_dir(dir.path().join("d".repeat(80))).unwrap();
    write(dir.path(), &name, "no header");
    let read = facts(dir.path()).await;
    assert_eq!(read.file.as_deref(), Some(name.as_str()));
    let mut annotations = BTreeMap::new();
    read.annotate(&mut annotations);
    let files = known(dir.path()).await;
    assert_eq!(StatedFacts::new(&annotations, files).unwrap().facts, read);
}
