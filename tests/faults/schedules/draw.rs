//! What a seed becomes: a schedule of faults at the Hub, the registry and the client.

use std::fmt;

use modelcar_testkit::{FaultRule, HubAction, RegistryAction, RegistryConfig};

use crate::bits::Random;

const UPLOADS: &str = "/blobs/uploads/";
const MANIFESTS: &str = "/manifests/";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What the registry has under the tag before the push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// An image that shares a layer with the one that is pushed.
    Old,
    /// Such an image, of which that layer is lost.
    OldWithoutLayer,
    /// The image itself.
    Same,
}

/// When the client stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    /// It asks for the end, after so many events.
    AtEvent(usize),
    /// It drops the push, after so many polls.
    AtPoll(usize),
}

/// What goes wrong with one push.
pub(super) struct Schedule {
    pub(super) before: Before,
    pub(super) config: RegistryConfig,
    pub(super) hub: Vec<FaultRule<HubAction>>,
    pub(super) registry: Vec<FaultRule<RegistryAction>>,
    pub(super) cancel: Option<Cancel>,
    pub(super) checkpoints: bool,
}

/// What the generator must know of the images.
pub(super) struct Known {
    /// Files of the model that come from the store.
    pub(super) weights: Vec<&'static str>,
    /// Sizes of the blobs of the image.
    pub(super) sizes: Vec<u64>,
    /// The index of the old image.
    pub(super) stale: String,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  tag before the push: {:?}; cancel: {:?}; redirects: {}", self.before, self.cancel, {
            self.config.redirect_blobs
        })?;
        self.hub.iter().try_for_each(|rule| writeln!(f, "  hub: {rule:?}"))?;
        self.registry.iter().try_for_each(|rule| writeln!(f, "  registry: {rule:?}"))
    }
}

impl Schedule {
    /// Draws up to five faults.
    pub(super) fn draw(random: &mut Random, known: &Known) -> Self {
        let before =
            pick(random, &[Before::Nothing, Before::Nothing, Before::Old, Before::OldWithoutLayer, Before::Same]);
        let config = RegistryConfig { redirect_blobs: random.below(4) == 0, ..RegistryConfig::default() };
        let mut schedule = Self {
            before,
            config,
            hub: Vec::new(),
            registry: Vec::new(),
            cancel: None,
            checkpoints: random.below(2) == 0,
        };
        for _ in 0..pick(random, &[0, 1, 1, 1, 2, 2, 2, 3, 4, 5]) {
            match random.below(8) {
                0..3 => schedule.hub.push(hub_fault(random, known)),
                3..7 => schedule.registry.push(registry_fault(random, known)),
                _ => schedule.cancel = Some(cancel(random)),
            }
        }
        schedule
    }
}

fn pick<T: Clone>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())].clone()
}

fn cancel(random: &mut Random) -> Cancel {
    match random.below(2) {
        0 => Cancel::AtEvent(1 + random.below(24)),
        _ => Cancel::AtPoll(1 + random.below(40)),
    }
}

/// How often a fault occurs, and how many requests pass before.
fn timed<A>(random: &mut Random, rule: FaultRule<A>) -> FaultRule<A> {
    let times = pick(random, &[1, 1, 1, 2, 3, 999]);
    rule.after(pick(random, &[0, 0, 0, 1, 2, 3])).times(times)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn header(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(text(name), text(value))]
}

/// An address that nobody listens at.
const NOWHERE: &str = "http://127.0.0.1:9/x";
const METADATA: &str = "http://169.254.169.254/latest";

fn hub_fault(random: &mut Random, known: &Known) -> FaultRule<HubAction> {
    let file = pick(random, &known.weights);
    let (place, server) = pick(
        random,
        &[
            ("/revision/", "hub"),
            ("/tree/", "hub"),
            ("/config.json", "hub"),
            (file, "hub"),
            (file, "cdn"),
            (file, "cdn"),
        ],
    );
    let at = random.below(8000) as u64;
    let page = HubAction::Status { code: 200, headers: header("content-type", "text/html"), body: text("<html>") };
    let to = |place: &str| HubAction::Status { code: 302, headers: header("location", place), body: String::new() };
    let code = pick(random, &[429, 500, 503, 504, 403, 403, 404, 404]);
    let action = match random.below(14) {
        0..3 => HubAction::status(code),
        3..6 => HubAction::Flip { at: at % 60, bit: 3 },
        6..8 => HubAction::Flip { at, bit: 5 },
        8 => HubAction::Truncate { after_bytes: at },
        9 => HubAction::ShortRange { most: at + 1 },
        10 => pick(random, &[HubAction::IgnoreRange, page]),
        11 => HubAction::ExtraHeaders(pick(
            random,
            &[header("x-linked-size", "7"), header("content-range", "bytes 0-1/2"), header("etag", "\"other\"")],
        )),
        12 => pick(random, &[to(NOWHERE), to(METADATA)]),
        _ => HubAction::Hangup,
    };
    let rule = timed(random, FaultRule::new(place, action));
    rule.server(server)
}

fn answer(code: u16, headers: Vec<(String, String)>, body: &str) -> RegistryAction {
    RegistryAction::Status { code, headers, body: text(body) }
}

fn registry_fault(random: &mut Random, known: &Known) -> FaultRule<RegistryAction> {
    let (method, place) = pick(
        random,
        &[
            ("POST", UPLOADS),
            ("PATCH", UPLOADS),
            ("PUT", "digest="),
            ("PUT", MANIFESTS),
            ("PUT", MANIFESTS),
            ("HEAD", "/blobs/"),
            ("GET", "/blobs/"),
            ("GET", "/manifests/v1"),
            ("GET", "/manifests/sha256"),
            ("GET", "/v2/"),
        ],
    );
    let action = match (method, place) {
        _ if random.below(4) == 0 => passing(random),
        ("POST", _) => pick(
            random,
            &[
                RegistryAction::WithoutHeader(text("location")),
                RegistryAction::ReplaceLocation(text(NOWHERE)),
                RegistryAction::error(403, "DENIED"),
                RegistryAction::error(403, "DENIED"),
                answer(307, header("location", METADATA), ""),
            ],
        ),
        ("PATCH", _) => patch(random),
        ("PUT", "digest=") => pick(
            random,
            &[
                RegistryAction::Lose,
                RegistryAction::KeepHalf,
                RegistryAction::StatusAfterBody(201),
                RegistryAction::WrongDigestHeader,
                answer(200, header("content-type", "text/html"), "<html>"),
            ],
        ),
        ("PUT", _) => pick(
            random,
            &[
                RegistryAction::Lose,
                RegistryAction::LoseLayer,
                RegistryAction::LoseLayer,
                RegistryAction::KeepTag,
                RegistryAction::StatusAfterBody(201),
                RegistryAction::WrongDigestHeader,
                RegistryAction::error(404, "MANIFEST_BLOB_UNKNOWN"),
                answer(200, header("content-type", "text/html"), "<html>"),
            ],
        ),
        ("HEAD", _) => {
            let len = pick(random, &known.sizes);
            pick(
                random,
                &[RegistryAction::LieHead200 { len }, RegistryAction::status(404), RegistryAction::status(405)],
            )
        }
        ("GET", "/blobs/") => blob(random),
        ("GET", _) => pick(
            random,
            &[
                answer(200, header("content-type", INDEX), &known.stale),
                answer(200, header("content-type", INDEX), r#"{"schemaVersion":2,"manifests":[]}"#),
                RegistryAction::error(404, "MANIFEST_UNKNOWN"),
                RegistryAction::error(403, "DENIED"),
                RegistryAction::TruncateBody { after_bytes: 60 },
                answer(200, header("content-type", "text/html"), "<html>"),
            ],
        ),
        _ => unreachable!("{method}"),
    };
    let rule = timed(random, FaultRule::new(place, action));
    rule.method(method)
}

/// What a busy server does.
fn passing(random: &mut Random) -> RegistryAction {
    let code = pick(random, &[429, 500, 502, 503, 504]);
    pick(random, &[RegistryAction::status(code), RegistryAction::status(code), RegistryAction::LostReply])
}

fn patch(random: &mut Random) -> RegistryAction {
    let bytes = random.below(6000) as u64;
    pick(
        random,
        &[
            RegistryAction::DropConnection { after_body_bytes: bytes },
            RegistryAction::KeepPart(bytes),
            RegistryAction::StatusAfterBody(202),
            RegistryAction::StatusAfterBody(500),
            RegistryAction::WithoutHeader(text("location")),
        ],
    )
}

fn blob(random: &mut Random) -> RegistryAction {
    let bytes = random.below(6000) as u64;
    pick(
        random,
        &[
            RegistryAction::CorruptBody { at: bytes % 600 },
            RegistryAction::CorruptBody { at: bytes },
            RegistryAction::TruncateBody { after_bytes: bytes % 600 },
            RegistryAction::IgnoreRange,
            RegistryAction::error(404, "BLOB_UNKNOWN"),
            answer(206, header("content-range", "bytes 99-99/100"), "x"),
            answer(307, header("location", METADATA), ""),
            answer(307, header("location", NOWHERE), ""),
        ],
    )
}
