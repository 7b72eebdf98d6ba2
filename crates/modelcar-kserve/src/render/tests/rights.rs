//! Users, groups and rights: what the kernel asks of a sidecar and its server, what a container runtime takes, and what
//! Pod Security asks of an image volume.

use modelcar_core::{ErrorKind, ModelcarError};
use serde_json::{Value, json};

use super::*;

/// The places of a security context in whatever is rendered.
const PODS: [&str; 3] =
    ["/spec/predictor/securityContext", "/spec/template/securityContext", "/spec/template/spec/securityContext"];
const CONTAINERS: [&str; 4] = [
    "/spec/predictor/model/securityContext",
    "/spec/predictor/containers/0/securityContext",
    "/spec/template/containers/0/securityContext",
    "/spec/template/spec/containers/0/securityContext",
];

fn object(change: &dyn Fn(&mut RenderOptions)) -> Value {
    let rendered = render(&qwen(), &options(change)).unwrap();
    serde_json::to_value(rendered.objects.last().unwrap()).unwrap()
}

fn at(object: &Value, places: &[&str]) -> Value {
    places.iter().find_map(|place| object.pointer(place)).cloned().unwrap_or_default()
}

/// A name and what it does to the options.
type Way = (&'static str, fn(&mut RenderOptions));

/// Ways to have a sidecar.
const SIDECARS: [Way; 6] = [
    ("model and runtime", |_| ()),
    ("custom container", |o| o.custom_container = Some("i:1".into())),
    ("storageUris", |o| o.storage_uris = true),
    ("storageUris and custom container", |o| (o.storage_uris, o.custom_container) = (true, Some("i:1".into()))),
    ("smoke test", |o| o.kind = Kind::SmokeTest),
    ("LLMInferenceService", |o| o.kind = Kind::LlmInferenceService),
];

#[test]
fn a_group_never_stands_without_its_user() {
    for (name, change) in SIDECARS {
        let of = |user| object(&|o| (change(o), o.kserve_uid = user).1);
        for (user, expected) in [(SidecarUser::default(), 1010), (SidecarUser::Uid(2000), 2000)] {
            let pod = at(&of(user), &PODS);
            assert_eq!(pod, json!({"runAsUser": expected, "runAsGroup": 0}), "{name}");
        }
        let none = of(SidecarUser::None);
        assert_eq!(at(&none, &PODS), Value::Null, "{name}");
        assert!(!none.to_string().contains("runAsUser") && !none.to_string().contains("runAsGroup"), "{name}: {none}");
    }
}

#[test]
fn knative_has_both_at_the_container() {
    for custom in [None, Some("i:1".to_owned())] {
        let of = |user| {
            object(&|o| {
                (o.mode, o.custom_container, o.kserve_uid) = (DeploymentMode::Knative, custom.clone(), user);
            })
        };
        let set = of(SidecarUser::default());
        assert_eq!(at(&set, &PODS), Value::Null);
        let container = at(&set, &CONTAINERS);
        assert_eq!((&container["runAsUser"], &container["runAsGroup"]), (&json!(1010), &json!(0)));
        let none = at(&of(SidecarUser::None), &CONTAINERS);
        assert!(none.get("runAsUser").is_none() && none.get("runAsGroup").is_none(), "{none}");
        assert_eq!(none.is_null(), custom.is_none(), "nothing is written as nothing");
    }
}

#[test]
fn a_root_in_a_container_of_the_users_own_keeps_what_the_kernel_asks_for() {
    let container = |uid| {
        let object = object(&|o| (o.custom_container, o.kserve_uid) = (Some("i:1".into()), SidecarUser::Uid(uid)));
        at(&object, &CONTAINERS)
    };
    assert_eq!(container(0), json!({"allowPrivilegeEscalation": false}));
    let without = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true});
    assert_eq!(container(1), without);
}

#[test]
fn users_that_may_not_do_are_warned_of() {
    let told = |change: &dyn Fn(&mut RenderOptions)| {
        let rendered = render(&qwen(), &options(change)).unwrap();
        let found = rendered.warnings.into_iter().find(|warning| ["no-user", "root"].contains(&warning.code()));
        found.map(|warning| warning.to_string()).unwrap_or_default()
    };
    let none = SidecarUser::None;
    for (name, change) in SIDECARS {
        assert_eq!(told(&change), "", "{name}");
        let message = told(&|o| (change(o), o.kserve_uid = none).1);
        assert!(message.contains("must be the same") && message.contains("user 1010, group 0"), "{name}: {message}");
    }
    assert!(told(&|o| o.kserve_uid = SidecarUser::Uid(0)).contains("drops its capabilities"));
    let own = told(&|o| (o.custom_container, o.kserve_uid) = (Some("i:1".into()), SidecarUser::Uid(0)));
    assert!(own.contains("run as root"), "{own}");
    assert!(told(&|o| (o.delivery, o.kserve_uid) = (Delivery::Native, none)).contains("numeric user that is not root"));
    for user in [none, SidecarUser::Uid(0)] {
        assert_eq!(told(&|o| (o.kind, o.kserve_uid) = (Kind::Prepull, user)), "");
    }
}

/// What the Pod Security level `restricted` asks of a pod: at the pod or at every container.
#[test]
fn an_image_volume_is_admitted_where_the_sidecar_is_not() {
    let restricted = json!({"runAsUser": 1010, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(at(&object(&|o| o.delivery = Delivery::Native), &PODS), restricted);
    let knative = object(&|o| (o.delivery, o.mode) = (Delivery::Native, DeploymentMode::Knative));
    assert_eq!((at(&knative, &PODS), at(&knative, &CONTAINERS)), (Value::Null, restricted.clone()));
    let of = |user| at(&object(&|o| (o.delivery, o.kserve_uid) = (Delivery::Native, user)), &PODS);
    assert_eq!(of(SidecarUser::Uid(2000))["runAsUser"], json!(2000));
    assert_eq!(of(SidecarUser::None), json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}));
}

#[test]
fn what_holds_an_image_on_a_node_has_no_rights() {
    let mut whole = json!({"runAsUser": 1010, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let of = |native, user| {
        at(&object(&|o| (o.kind, o.delivery, o.kserve_uid) = (Kind::Prepull, delivery(native), user)), &CONTAINERS)
    };
    for native in [true, false] {
        for uid in [1010, 2000, 0] {
            assert_eq!(of(native, SidecarUser::Uid(uid)), whole);
        }
    }
    whole.as_object_mut().unwrap().remove("runAsUser");
    assert_eq!(of(false, SidecarUser::None), whole);
}

#[test]
fn a_user_is_a_number_of_kubernetes_or_none() {
    for (text, user) in [
        ("none", SidecarUser::None),
        ("0", SidecarUser::Uid(0)),
        ("1010", SidecarUser::default()),
        ("2147483647", SidecarUser::Uid(2_147_483_647)),
    ] {
        assert_eq!(text.parse(), Ok(user));
        assert_eq!(user.to_string(), text);
    }
    for bad in ["", "-1", "+1", "1.5", "0x1", "2147483648", "4294967296", "99999999999999999999", "None", "root", " 1"]
    {
        let error = bad.parse::<SidecarUser>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), format!("`{bad}` is not a user: write a number from 0 to 2147483647, or none"));
    }
}
