//! How everything here asks others over HTTP: webhooks, Microsoft's clouds, whoever publishes the keys of tokens.

use std::sync::LazyLock;

/// Whether this machine keeps roots of public authorities. Looked at once: who installs them restarts.
static ROOTS: LazyLock<bool> = LazyLock::new(|| !rustls_native_certs::load_native_certs().certs.is_empty());

/// A client without redirects: one would carry a token, or a signed event, to an address that nobody configured.
///
/// A machine without any root certificate gets one as well, whose every https fails: calls between carriers and telephones
/// need nobody's. Of itself the builder refuses there.
pub fn http() -> reqwest::ClientBuilder {
    // Fails when the process has a provider already, which is then the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if *ROOTS { client } else { client.tls_certs_only([]) }
}
