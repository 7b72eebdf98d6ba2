//! Logins that run out, are refused, or are asked for again.

use std::time::Duration;

use modelcar_testkit::{Auth, FakeRegistry, FaultRule, RegistryAction, RegistryConfig};

use crate::run::{PASSWORD, Row, USER, demand};

fn bearer(row: Row) -> Row {
    row.config(|config| config.auth = Auth::bearer(USER, PASSWORD))
}

fn challenge(code: u16, challenge: &str) -> RegistryAction {
    let headers = vec![("www-authenticate".to_owned(), challenge.to_owned())];
    RegistryAction::Status { code, headers, body: String::new() }
}

pub(crate) fn rows() -> Vec<Row> {
    let survives = |fault: &str| bearer(Row::survives("login", fault));
    let fails = |fault: &str, says| bearer(Row::fails("login", fault, says));
    let basic = || challenge(401, "Basic realm=\"r\"");
    let basic_row = |row: Row| row.config(|config| config.auth = Auth::basic(USER, PASSWORD));
    vec![
        survives("bearer tokens"),
        survives("the token server's answer breaks off").fault(
            "GET",
            "/token",
            1,
            RegistryAction::TruncateBody { after_bytes: 10 },
        ),
        basic_row(Row::survives("login", "Basic")),
        survives("tokens that live 1 s and do not say so")
            .config(|config| {
                config.auth = Auth::Bearer {
                    user: USER.to_owned(),
                    password: PASSWORD.to_owned(),
                    refresh_token: None,
                    lifetime: Duration::from_secs(1),
                    expires_in: None,
                    anonymous_pull: false,
                };
            })
            .rule(
                FaultRule::new("/blobs/uploads/", RegistryAction::Stall { at: 100, pause: Duration::from_millis(500) })
                    .method("PATCH"),
            ),
        basic_row(Row::survives("login", "closing PUT: 401, the empty PUT is sent again"))
            .rule(FaultRule::new("digest=", basic()).method("PUT").times(1))
            .at_most((6 << 20) + (700 << 10)),
        basic_row(Row::survives("login", "PATCH: 401 once, the layer goes again")).fault(
            "PATCH",
            "uploads/",
            1,
            basic(),
        ),
        basic_row(Row::fails("login", "PATCH: 401 each time", "the credentials expired during the upload"))
            .fault("PATCH", "uploads/", 999, basic())
            .check(|seen| demand(seen.all("PATCH").count() <= 10, || "a layer was tried too often".to_owned())),
        fails("wrong password", "401").config(|config| config.auth = Auth::bearer(USER, "other")).before_weights(),
        elsewhere(),
        at_the_root(401),
        at_the_root(403),
        at_the_root(404),
        Row::fails("login", "401 without a challenge", "401")
            .fault("POST", "uploads/", 999, RegistryAction::status(401))
            .before_weights(),
        basic_row(Row::fails("login", "401 for ever", "refuses the login"))
            .fault("POST", "uploads/", 999, basic())
            .before_weights(),
    ]
}

/// A registry that asks for a login at `/v2/` alone.
fn at_the_root(code: u16) -> Row {
    bearer(Row::survives("login", format!("{code} without a challenge, the challenge is at /v2/")))
        .fault("POST", "uploads/", 1, RegistryAction::status(code))
        .check(|seen| {
            let asked = seen.all("GET").filter(|request| request.path == "/v2/").count();
            demand(asked == 1, || format!("/v2/ was asked {asked} times"))
        })
}

/// A registry whose uploads go to another host, which wants a login.
fn elsewhere() -> Row {
    let other =
        FakeRegistry::start_blocking(RegistryConfig { auth: Auth::basic(USER, PASSWORD), ..RegistryConfig::default() });
    let location = format!("http://{}/v2/team/models/tiny/blobs/uploads/1", other.host());
    let fault = "uploads go to another host, which wants a login";
    Row::fails("login", fault, "which wants a login and gets none")
        .config(|config| config.auth = Auth::basic(USER, PASSWORD))
        .rule(FaultRule::new("uploads/", RegistryAction::ReplaceLocation(location)).method("POST"))
        .keeps_sessions()
        .before_weights()
        .check(move |_| {
            let requests = other.requests();
            demand(requests.iter().all(|request| request.method != "PATCH"), || format!("{requests:?}"))
        })
}
