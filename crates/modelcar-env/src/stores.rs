//! What the environment says of the stores of S3 and Google Cloud Storage: what the crate `object_store` reads by itself in
//! other programs.

use std::env;

use modelcar_core::{http::Secret, source::StoreOptions};

use crate::variables;

/// What the names of the variables begin with.
const PREFIXES: [&str; 2] = ["AWS_", "GOOGLE_"];
/// Settings that say where Google's credentials are, or that none are needed.
const GOOGLE_LOGINS: [&str; 7] = [
    "google_application_credentials",
    "google_bearer_token",
    "google_service_account",
    "google_service_account_key",
    "google_service_account_path",
    "google_skip_signature",
    "service_account",
];

/// Returns how stores are reached, without network and progress.
pub(crate) fn stores() -> StoreOptions {
    let all = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let contents = variables::cache_folder().map(|folder| modelcar_core::source::Contents::new(&folder));
    StoreOptions { settings: settings(all, gcloud_file), contents, ..StoreOptions::default() }
}

/// Returns the file that `gcloud auth application-default login` writes, if it is there.
fn gcloud_file() -> Option<String> {
    let file = variables::google().user_file.filter(|file| file.exists())?;
    file.into_os_string().into_string().ok()
}

/// Returns the settings of the crate among `variables`. An empty one counts as not set.
fn settings(
    variables: impl Iterator<Item = (String, String)>,
    gcloud_file: impl FnOnce() -> Option<String>,
) -> Vec<(String, Secret)> {
    let meant = variables.filter(|(name, value)| {
        let is_store = PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || name == "SERVICE_ACCOUNT";
        is_store && !value.is_empty()
    });
    let mut settings: Vec<_> = meant.map(|(name, value)| (name.to_ascii_lowercase(), Secret::from(value))).collect();
    // The crate has this one without Google's name before it.
    for (name, _) in settings.iter_mut().filter(|(name, _)| name == "service_account") {
        "google_service_account".clone_into(name);
    }
    settings.sort_by(|one, other| one.0.cmp(&other.0));
    settings.dedup_by(|one, other| one.0 == other.0);
    let has_login = settings.iter().any(|(name, _)| GOOGLE_LOGINS.contains(&name.as_str()));
    if !has_login && let Some(file) = gcloud_file() {
        settings.push(("google_application_credentials".to_owned(), Secret::from(file)));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_stores_are_settings() {
        let found = |variables: &[(&str, &str)]| -> Vec<(String, String)> {
            let all = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let settings = settings(all, || Some("/adc.json".to_owned()));
            settings.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let adc = pair("google_application_credentials", "/adc.json");
        assert_eq!(
            found(&[("AWS_REGION", "eu"), ("PATH", "/bin"), ("AWS_TOKEN", ""), ("AWS_ACCESS_KEY_ID", "id")]),
            [pair("aws_access_key_id", "id"), pair("aws_region", "eu"), adc.clone()]
        );
        assert_eq!(found(&[("SERVICE_ACCOUNT", "/sa.json")]), [pair("google_service_account", "/sa.json")]);
        assert_eq!(found(&[]), [adc]);
    }
}
