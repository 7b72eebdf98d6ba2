//! The README shows what this program prints.

use clap::Parser;
use modelcar_core::facts::{ModelFacts, Task, WeightFormat};
use modelcar_kserve::{
    render::ServedImage,
    sizing::{ImageBytes, PullTime},
};

use super::RenderArgs;
use crate::cli::{Cli, Command};

const README: &str = include_str!("../../../../../README.md");

/// Returns the fenced block after `<!-- marker -->`.
fn block(marker: &str) -> &'static str {
    let rest = README.split_once(&format!("<!-- {marker} -->\n```")).expect("the README has the block").1;
    rest.split_once('\n').unwrap().1.split_once("```").unwrap().0
}

/// The model that the README shows, as its files have it.
fn qwen(args: &RenderArgs) -> ServedImage {
    let image: modelcar_core::ImageRef = args.image.parse().unwrap();
    ServedImage {
        digest: *image.digest().expect("the README pins the image"),
        image,
        title: Some("Qwen/Qwen2.5-0.5B-Instruct".to_owned()),
        version: Some("main".to_owned()),
        revision: Some("7ae557604adf67be50417f59c2c2f167def9a775".to_owned()),
        facts: ModelFacts {
            format: Some(WeightFormat::Safetensors),
            architecture: Some("Qwen2ForCausalLM".to_owned()),
            task: Some(Task::TextGeneration),
            dtype: Some("BF16".to_owned()),
            quantization: None,
            parameters: Some(494_032_768),
            weight_bytes: Some(988_097_824),
            context_length: Some(32768),
            cache_bytes_per_token: Some(12_288),
            chat_template: Some(true),
            file: None,
            ..ModelFacts::default()
        },
        bytes: ImageBytes { blobs: 1_002_000_000, unpacked: 1_004_000_000 },
        pull: PullTime::of_layers(&[12_000_000, 990_000_000]),
        has_base: Some(true),
        platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
    }
}

#[test]
fn the_readme_shows_what_its_command_prints() {
    let command = block("render-command").replace("\\\n", " ");
    let words: Vec<&str> = command.split_whitespace().collect();
    let Command::Render(args) = Cli::try_parse_from(&words).unwrap().command else { panic!("{command}") };
    let words: Vec<String> = words.into_iter().skip(1).map(str::to_owned).collect();
    let printed = super::rendered(&qwen(&args), &args.options(), &words).unwrap().to_yaml().unwrap();
    assert!(printed == block("render-yaml"), "README.md should show\n{printed}");
}

#[test]
fn the_comment_names_the_command_that_renders_the_same_again() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let image = "europe-docker.pkg.dev/p/r/qwen:v1";
    let pinned = format!("europe-docker.pkg.dev/p/r/qwen@{digest}");
    let Command::Render(args) = Cli::try_parse_from(["modelcar", "render", &pinned]).unwrap().command else { panic!() };
    let served = ServedImage { image: image.parse().unwrap(), ..qwen(&args) };
    let again =
        |words: &[&str]| super::again(&served, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(again(&["render", image, "--resolve", "--gpus", "2"]), "modelcar render IMAGE --gpus 2");
    let scheme = format!("oci://{image}");
    assert_eq!(again(&["render", &scheme, "--arg=--x=$(id) y"]), "modelcar render IMAGE '--arg=--x=$(id) y'");
    assert_eq!(again(&["render", image, "--arg", "a\nkind: Pod"]), "");
    assert_eq!(again(&[]), "");
}
