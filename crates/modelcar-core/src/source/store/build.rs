//! Opens a bucket with the crate `object_store`.

use std::sync::Arc;

use object_store::{ObjectStore, RetryConfig, aws::AmazonS3Builder, gcp::GoogleCloudStorageBuilder};

use super::{StoreOptions, connector::Connector};
use crate::source::{StoreKind, StoreUrl};

/// Returns the bucket. Files that settings name are read; no request is sent.
///
/// Of the environment the crate reads what it does not take as a setting: the address of Google's metadata server, and
/// `HOME` for the file of gcloud where no setting names credentials of Google's.
pub(super) fn build(url: &StoreUrl, options: &StoreOptions) -> object_store::Result<Arc<dyn ObjectStore>> {
    let (network, stall, secrets) = (options.network.clone(), options.stall_timeout, options.secrets());
    let is_legacy = options.settings_for(url.kind()).any(|(name, _)| name == "aws_imdsv1_fallback");
    let connector = Connector { network, stall, secrets, is_legacy };
    // This library tries again by itself.
    let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let settings = options.settings_for(url.kind());
    Ok(match url.kind() {
        StoreKind::S3 => {
            let builder = settings.fold(AmazonS3Builder::new(), |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            let builder = builder.with_bucket_name(url.bucket()).with_retry(once);
            Arc::new(builder.with_http_connector(connector).build()?)
        }
        StoreKind::Gcs => {
            let builder =
                settings.fold(GoogleCloudStorageBuilder::new(), |builder, (name, value)| match name.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
            let builder = builder.with_bucket_name(url.bucket()).with_retry(once);
            Arc::new(builder.with_http_connector(connector).build()?)
        }
    })
}
