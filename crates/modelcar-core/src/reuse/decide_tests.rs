//! The table of decisions: candidates × what registries answer → what is done, and what was asked for it.

use super::{
    action::{LayerAction, LayerCandidate, Place},
    decide::{Answers, Candidates, Question, Step, decide, decision, in_images},
    image_layer::{ImageLayer, SeenLayer},
};
use crate::{
    ContentId, Digest, ModelPath,
    base::Base,
    plan::{Layer, Plan, PlanOptions},
    source::{Origin, SourceFile},
};

fn here() -> Place {
    Place::Here
}

fn sibling(name: &str) -> Place {
    Place::Sibling(name.to_owned())
}

fn elsewhere(name: &str) -> Place {
    Place::Elsewhere(name.to_owned())
}

fn candidate(layer: &str, place: Place) -> LayerCandidate {
    LayerCandidate { digest: Digest::of(layer), size: 7, place, from: format!("image with {layer}") }
}

/// Decides while a registry has what `there` lists. Returns the chosen layers and the questions, both as text.
fn run(candidates: &Candidates, there: &[(&str, Place)]) -> (Vec<LayerCandidate>, Vec<Question>) {
    let (mut answers, mut asked) = (Answers::new(), Vec::new());
    loop {
        match decide(candidates, &answers) {
            Step::Use(found) => return (found, asked),
            Step::Ask(question) => {
                let is_there =
                    there.iter().any(|(layer, place)| Digest::of(layer) == question.digest && *place == question.place);
                assert!(answers.insert(question.clone(), is_there).is_none(), "{question:?} is asked twice");
                asked.push(question);
            }
        }
    }
}

/// Layers with their places.
type Layers = Vec<(&'static str, Place)>;
/// What is done, with which layer, with how many fallbacks, after how many questions.
type Expected = (LayerAction, &'static str, usize, usize);
/// The situation; candidates near, noted and far; what is there; what follows.
type Row = (&'static str, [Layers; 3], Layers, Expected);

fn rows() -> Vec<Row> {
    use LayerAction::{Copy, Mount, Reuse, Upload};
    let [a, b, near, far] = [sibling("a"), sibling("b"), here(), elsewhere("other.io/x")];
    vec![
        ("nothing is known", [vec![], vec![], vec![]], vec![], (Upload, "", 0, 0)),
        (
            "the tag's image has it",
            [vec![("l", near.clone())], vec![], vec![]],
            vec![("l", near.clone())],
            (Reuse, "l", 0, 1),
        ),
        ("the tag's image lost it", [vec![("l", near.clone())], vec![], vec![]], vec![], (Upload, "", 0, 1)),
        ("a sibling has it", [vec![("l", a.clone())], vec![], vec![]], vec![("l", a.clone())], (Mount, "l", 0, 2)),
        (
            "named in a sibling, already in the target",
            [vec![("l", a.clone())], vec![], vec![]],
            vec![("l", near.clone()), ("l", a.clone())],
            (Reuse, "l", 0, 1),
        ),
        (
            "the first sibling lost it, the second has it",
            [vec![("l", a.clone()), ("l", b.clone())], vec![], vec![]],
            vec![("l", b.clone())],
            (Mount, "l", 0, 3),
        ),
        (
            "later candidates are fallbacks, earlier ones are dropped",
            [vec![("gone", near.clone()), ("l", near.clone()), ("m", near.clone()), ("n", a.clone())], vec![], vec![]],
            vec![("l", near.clone())],
            (Reuse, "l", 2, 2),
        ),
        (
            "an image of this registry goes before checkpoint and cache",
            [vec![("l", a.clone())], vec![("m", near.clone())], vec![]],
            vec![("l", a.clone()), ("m", near.clone())],
            (Mount, "l", 0, 2),
        ),
        (
            "a checkpoint serves when no image does",
            [vec![("l", near.clone())], vec![("m", near.clone())], vec![]],
            vec![("m", near.clone())],
            (Reuse, "m", 0, 2),
        ),
        (
            "what is in this registry is not copied",
            [vec![], vec![("m", a.clone())], vec![("l", far.clone())]],
            vec![("m", a.clone()), ("l", far.clone())],
            (Mount, "m", 0, 2),
        ),
        (
            "another registry is the last resort",
            [vec![("l", near.clone())], vec![("m", near.clone())], vec![("n", far.clone())]],
            vec![("n", far.clone())],
            (Copy, "n", 0, 3),
        ),
        ("another registry lost it too", [vec![], vec![], vec![("n", far.clone())]], vec![], (Upload, "", 0, 1)),
        (
            "one blob in two images is asked for once",
            [vec![("l", near.clone()), ("l", near.clone())], vec![("l", near.clone())], vec![]],
            vec![],
            (Upload, "", 0, 1),
        ),
    ]
}

#[test]
fn each_situation_has_its_decision() {
    let of = |found: &Layers| found.iter().map(|(layer, place)| candidate(layer, place.clone())).collect::<Vec<_>>();
    for (row, [near, noted, far], there, expected) in rows() {
        let candidates = Candidates { near: of(&near), noted: of(&noted), far: of(&far) };
        let (found, asked) = run(&candidates, &there);
        let action = found.first().map_or(LayerAction::Upload, LayerCandidate::action);
        let layer = found.first().map(|first| first.digest);
        let (want, name, fallbacks, questions) = expected;
        assert_eq!((action, asked.len()), (want, questions), "{row}: {asked:?}");
        assert_eq!(layer, (!name.is_empty()).then(|| Digest::of(name)), "{row}");
        assert_eq!(found.len().saturating_sub(1), fallbacks, "{row}");
    }
}

fn file(path: &str, content: &str) -> SourceFile {
    let path: ModelPath = path.parse().unwrap();
    SourceFile { path, size: content.len() as u64, content: ContentId::sha256_from_hex(&Digest::of(content).hex()) }
}

fn seen(layer: &Layer, place: Place, recipe: Digest) -> SeenLayer {
    let layer = ImageLayer { digest: Digest::of("layer"), size: layer.size, recipe, files: layer.files.clone() };
    SeenLayer { layer, place, from: "r.io/a:v1".to_owned() }
}

#[test]
fn a_recipe_that_is_not_that_of_the_files_is_no_candidate() {
    let layer = Layer::new(vec![file("model.safetensors", "weights")], 0);
    let other = Layer::new(vec![file("model.safetensors", "WEIGHTS")], 0);
    let recipe = layer.recipe.unwrap();
    for (images, found, false_ones) in [
        (vec![seen(&layer, here(), recipe)], 1, 0),
        (vec![seen(&other, here(), recipe)], 0, 1),
        (vec![seen(&other, here(), other.recipe.unwrap())], 0, 0),
        (vec![seen(&other, sibling("a"), recipe), seen(&layer, sibling("b"), recipe)], 1, 1),
    ] {
        let (candidates, refused) = in_images(&recipe, &layer, 0, &images);
        assert_eq!((candidates.len(), refused.len()), (found, false_ones), "{images:?}");
    }
    let (candidates, _) = in_images(&recipe, &layer, 1, &[seen(&layer, here(), recipe)]);
    assert!(candidates.is_empty(), "the time of the entries is part of a recipe");
}

#[test]
fn a_file_under_another_path_is_named() {
    let files = vec![file("new.safetensors", "weights"), file("config.json", "{}")];
    let plan = Plan::new(&Origin::default(), files, &Base::scratch().image, &PlanOptions::default()).unwrap();
    let held = Layer::new(vec![file("old.safetensors", "weights")], plan.mtime());
    let images = [seen(&held, here(), held.recipe.unwrap())];
    let named: Vec<String> = plan
        .layers()
        .iter()
        .flat_map(|layer| decision(Vec::new(), &plan, layer, &images).renamed)
        .map(|renamed| format!("{} -> {}", renamed.from, renamed.to))
        .collect();
    assert_eq!(named, ["old.safetensors -> new.safetensors"]);
    let first = &plan.layers()[0];
    let found = decision(vec![candidate("l", here())], &plan, first, &images);
    assert_eq!((found.action, found.renamed.len(), found.digest), (LayerAction::Reuse, 0, Some(Digest::of("l"))));
}
