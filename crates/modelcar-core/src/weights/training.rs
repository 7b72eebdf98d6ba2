//! Recognizes files by which a training can be continued, such as the state of the optimizer. No server loads these
//! files.

use crate::ModelPath;

use super::name::split;

/// Returns whether a file is the state of an optimizer, a learning rate schedule, a random generator or a trainer.
pub(super) fn is_state(path: &ModelPath) -> bool {
    let name = path.file_name();
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_binary = ["pt", "pth", "bin", "pkl", "safetensors"].contains(&extension);
    let is = |prefix: &str| stem == prefix || stem.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_'));
    let numbered =
        |prefix: &str| stem.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    let state = is_binary && (is("optimizer") || is("scheduler") || numbered("rng_state") || numbered("random_states"));
    state || ["trainer_state.json", "training_args.bin", "scaler.pt"].contains(&name) || in_folder(path, is_step)
}

/// Returns whether a file is in the folder of a checkpoint (`checkpoint-500`), which holds the whole model as of some
/// step of the training.
pub(crate) fn is_in_checkpoint(path: &ModelPath) -> bool {
    in_folder(path, |folder| {
        let step = folder.strip_prefix("checkpoint-").or_else(|| folder.strip_prefix("checkpoint_"));
        folder == "last-checkpoint" || step.is_some_and(is_number)
    })
}

/// Returns whether a folder is one of `DeepSpeed`'s (`global_step100`), which hold the optimizer's state at a step.
fn is_step(folder: &str) -> bool {
    folder.strip_prefix("global_step").is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether `is` holds for a folder that the file is in, at any depth.
fn in_folder(path: &ModelPath, is: impl Fn(&str) -> bool) -> bool {
    split(path.as_str()).0.split('/').any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_known_by_their_names() {
        let path = |text: &str| text.parse::<ModelPath>().unwrap();
        for state in [
            "optimizer.pt",
            "optimizer.bin",
            "a/optimizer_0.bin",
            "scheduler.pt",
            "rng_state.pth",
            "rng_state_3.pth",
            "random_states_0.pkl",
            "trainer_state.json",
            "training_args.bin",
            "global_step100/mp_rank_00_model_states.pt",
        ] {
            assert!(is_state(&path(state)), "{state}");
        }
        for other in
            ["scheduler/scheduler_config.json", "model.safetensors", "optimizer.md", "scheduler.json", "rng_states.txt"]
        {
            assert!(!is_state(&path(other)), "{other}");
        }
        assert!(is_in_checkpoint(&path("checkpoint-500/model.safetensors")));
        assert!(is_in_checkpoint(&path("a/last-checkpoint/model.safetensors")));
        assert!(!is_in_checkpoint(&path("checkpoint-best.pth")));
        assert!(!is_in_checkpoint(&path("checkpoints/model.safetensors")));
    }
}
