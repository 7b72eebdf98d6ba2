//! Each row of the table of quirks, against the fake in that registry's clothes.

use std::time::Duration;

use modelcar_testkit::{
    Auth, BrokenPatch, FaultRule, FixedTags, LocationStyle, RegistryAction, RegistryConfig, StatusReply,
};

use crate::{
    modes::in_chunks,
    run::{PASSWORD, Row, USER, demand},
};

const UPLOADS: &str = "/blobs/uploads/";
const BREAK: RegistryAction = RegistryAction::DropConnection { after_body_bytes: 2_000_000 };

fn like(row: Row, host: &str, clothes: impl FnOnce(&mut RegistryConfig)) -> Row {
    row.options(|options| options.behaves_like = Some(host.to_owned())).config(clothes)
}

pub(crate) fn rows() -> Vec<Row> {
    [clouds(), hubs(), own_servers()].into_iter().flatten().collect()
}

fn artifact_registry(row: Row) -> Row {
    like(row, "europe-docker.pkg.dev", |config| {
        config.location_padding = 21_000;
        config.location = LocationStyle::Relative;
        config.chunked = false;
        config.name_parts = 3;
        config.status_reply = StatusReply::Missing;
        config.repositories = Some(vec!["team/models/tiny".to_owned()]);
        config.fixed_tags = FixedTags::RefuseOther;
    })
}

fn ecr(row: Row) -> Row {
    like(row, "1.dkr.ecr.eu-west-1.amazonaws.com", |config| {
        config.patch_status = 201;
        config.broken_patch = BrokenPatch::Dead;
        config.status_reply = StatusReply::Stuck;
        config.chunked = false;
        config.fixed_tags = FixedTags::RefuseAll;
        config.repositories = Some(vec!["team/models/tiny".to_owned()]);
    })
}

fn named(mut row: Row, repository: &'static str) -> Row {
    row.repository = repository;
    row
}

fn taken(mut row: Row) -> Row {
    row.taken = true;
    row
}

fn no_request(row: Row) -> Row {
    row.check(|seen| demand(seen.requests.is_empty(), || "it was asked".to_owned()))
}

fn clouds() -> Vec<Row> {
    let ar = |fault: &str| artifact_registry(Row::survives("Artifact Registry", fault));
    let ar_fails = |fault: &str, says| artifact_registry(Row::fails("Artifact Registry", fault, says));
    let aws = |fault: &str| ecr(Row::survives("ECR", fault));
    let acr = |fault: &str| Row::survives("ACR", fault);
    vec![
        ar("relative Location of 21 kB, no chunks"),
        ar("PATCH breaks: the layer from its start").fault("PATCH", UPLOADS, 1, BREAK).keeps_sessions(),
        no_request(named(ar_fails("PROJECT/REPOSITORY alone", "PROJECT/REPOSITORY/IMAGE"), "team/models")),
        named(ar_fails("no such repository", "NAME_UNKNOWN"), "team/other/tiny").before_weights(),
        no_request(ar_fails("--chunk-size", "takes no uploads in chunks").chunks(1 << 20)),
        // A layer that is given up while its answer is on the way has a place that only a status request would tell.
        ar_fails("413: there are no chunks to try", "413")
            .config(|config| config.max_request = Some(2_000_000))
            .keeps_sessions(),
        taken(ar_fails("immutable tag with another digest", "TAG_INVALID")),
        aws("201 on PATCH"),
        aws("PATCH breaks: the session is dead, a new one").fault("PATCH", UPLOADS, 1, BREAK),
        taken(like(aws("a tag that moves, and its manifest breaks off when it is read"), "public.ecr.aws", |config| {
            config.fixed_tags = FixedTags::No;
        }))
        .fault("GET", "/manifests/v1", 1, RegistryAction::TruncateBody { after_bytes: 20 }),
        taken(ecr(Row::fails("ECR", "immutable tag with another digest", "can't be moved"))).before_weights(),
        named(ecr(Row::fails("ECR", "no such repository", "NAME_UNKNOWN")), "team/other").before_weights(),
        like(acr("413 above 4 MB: chunks"), "acme.azurecr.io", |config| config.max_request = Some(4_000_000))
            .check(|seen| in_chunks(seen, 4_000_000)),
        like(acr("416 at the PUT now and then"), "acme.azurecr.io", |_| ())
            .rule(FaultRule::new("digest=", RegistryAction::status(416)).method("PUT").after(1).times(1)),
    ]
}

fn hubs() -> Vec<Row> {
    let ghcr = |fault: &str, clothes: fn(&mut RegistryConfig)| {
        like(Row::survives("GHCR", fault), "ghcr.io", |config| {
            config.max_chunk = Some(4 << 20);
            clothes(config);
        })
    };
    let quay =
        |fault: &str| like(Row::survives("Quay", fault), "quay.io", |config| config.status_reply = StatusReply::Quay);
    let cloudflare = |config: &mut RegistryConfig| {
        config.max_request = Some(5_000_000);
        config.upload_headers = vec![("server".to_owned(), "cloudflare".to_owned())];
    };
    vec![
        ghcr("one PATCH of 6 MiB", |_| ()),
        ghcr("--chunk-size 64MiB becomes 4 MiB", |_| ()).chunks(64 << 20).check(|seen| in_chunks(seen, 4 << 20)),
        ghcr("416 for a length above 4 MiB: HTTP's own chunks", |config| config.max_length = Some(4 << 20)).check(
            |seen| demand(seen.all("PATCH").any(|patch| patch.chunked), || "the length was announced".to_owned()),
        ),
        ghcr("PATCH breaks: the layer from its start", |_| ()).fault("PATCH", UPLOADS, 1, BREAK),
        quay("Range: bytes=0--1 when a session opens"),
        quay("PATCH breaks, Range counts one too many: from the start")
            .fault("PATCH", UPLOADS, 1, BREAK)
            .keeps_sessions(),
        // The same server under a name of its own shows itself by the unit in its answer.
        Row::survives("Quay", "PATCH breaks, self-hosted")
            .config(|config| config.status_reply = StatusReply::Quay)
            .fault("PATCH", UPLOADS, 1, BREAK)
            .keeps_sessions(),
        like(Row::survives("Docker Hub", "bearer tokens, absolute Location with a query"), "docker.io", |config| {
            config.auth = Auth::bearer(USER, PASSWORD);
            config.location = LocationStyle::AbsoluteWithQuery;
        }),
        Row::survives("Cloudflare", "413 with a page above its cap: chunks")
            .config(cloudflare)
            .check(|seen| in_chunks(seen, 5_000_000)),
        like(Row::survives("Artifactory", "403 for a blob that is not there"), "acme.jfrog.io", |config| {
            config.missing_head_status = 403;
        }),
        like(Row::survives("Artifactory", "403 for a manifest that is not there"), "acme.jfrog.io", |config| {
            config.missing_head_status = 403;
        })
        .fault("GET", "/manifests/", 1, RegistryAction::error(403, "DENIED"))
        .check(|seen| {
            let told = seen.warnings.iter().any(|warning| warning.contains("does not tell whether tag `v1` is taken"));
            demand(told, || "no warning of the tag".to_owned())
        }),
    ]
}

fn own_servers() -> Vec<Row> {
    let gitlab = |config: &mut RegistryConfig| {
        config.auth = Auth::Bearer {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            refresh_token: None,
            // Its 60 seconds, sixty times as fast.
            lifetime: Duration::from_secs(1),
            expires_in: Some(1),
            anonymous_pull: false,
        };
    };
    let slow = RegistryAction::Stall { at: 1000, pause: Duration::from_millis(500) };
    vec![
        Row::survives("Harbor", "502 at the PUT, absolute Location with a query")
            .config(|config| config.location = LocationStyle::AbsoluteWithQuery)
            .rule(FaultRule::new("digest=", RegistryAction::status(502)).method("PUT").times(1)),
        Row::survives("Harbor", "413 by its nginx: chunks").config(|config| config.max_request = Some(1 << 20)),
        Row::survives("GitLab", "tokens that live shorter than the push")
            .config(gitlab)
            .rule(FaultRule::new(UPLOADS, slow).method("PATCH")),
        Row::survives("zot", "the session is deleted when a body breaks")
            .config(|config| config.broken_patch = BrokenPatch::DeleteSession)
            .fault("PATCH", UPLOADS, 1, BREAK),
        Row::survives("zot", "a second read deadline in the same push")
            .config(|config| config.broken_patch = BrokenPatch::DeleteSession)
            .rule(FaultRule::new(UPLOADS, BREAK).method("PATCH").times(2)),
        Row::survives("Gitea", "no second write into a session").config(|config| config.one_write = true),
        Row::survives("Gitea", "PATCH breaks: no second write, a new session")
            .config(|config| config.one_write = true)
            .fault("PATCH", UPLOADS, 1, BREAK),
        taken(Row::survives("CNCF distribution", "a tag moves from another image")),
    ]
}
