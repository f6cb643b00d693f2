//! Which proxy a URL is fetched through.
//!
//! The variables are those that curl and apt know: `http_proxy`, `https_proxy`, `all_proxy` and
//! `no_proxy`, in lower case before upper case.

use thiserror::Error;
use ureq::Proxy;
use url::Url;

/// Proxy settings as plain values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// Proxy of `http` URLs.
    pub http: Option<String>,
    /// Proxy of `https` URLs.
    pub https: Option<String>,
    /// Hosts that are reached directly, separated by commas; `*` is all.
    pub no_proxy: Option<String>,
}

/// A proxy setting that is not a URL of a proxy that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the proxy `{proxy}` is not of the form http://HOST:PORT")]
pub struct ProxyError {
    /// The setting, without a password.
    pub proxy: String,
}

impl ProxySettings {
    /// Reads the settings from variables, for example those of the environment.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .or_else(|| variable(&name.to_ascii_uppercase()))
                .filter(|value| !value.is_empty())
        };
        let all = get("all_proxy");
        Self {
            http: get("http_proxy").or_else(|| all.clone()),
            https: get("https_proxy").or(all),
            no_proxy: get("no_proxy"),
        }
    }

    /// The proxy of URLs with this scheme; ureq itself leaves out the hosts of `no_proxy`.
    pub(crate) fn of_scheme(&self, scheme: &str) -> Result<Option<Proxy>, ProxyError> {
        let setting = if scheme == "https" { &self.https } else { &self.http };
        let Some(setting) = setting else { return Ok(None) };
        let spelt =
            if setting.contains("://") { setting.clone() } else { format!("http://{setting}") };
        let error = || ProxyError { proxy: without_password(&spelt) };
        let url = Url::parse(&spelt).map_err(|_| error())?;
        let protocol = match url.scheme() {
            "http" => ureq::ProxyProtocol::Http,
            "https" => ureq::ProxyProtocol::Https,
            _ => return Err(error()),
        };
        let mut builder = Proxy::builder(protocol).host(url.host_str().ok_or_else(error)?);
        if let Some(port) = url.port() {
            builder = builder.port(port);
        }
        if !url.username().is_empty() {
            builder = builder.username(&decoded(url.username()));
            builder = builder.password(&decoded(url.password().unwrap_or_default()));
        }
        for host in self.no_proxy.iter().flat_map(|hosts| hosts.split(',')) {
            let host = host.trim();
            if !host.is_empty() {
                builder = builder.no_proxy(host);
            }
        }
        builder.build().map(Some).map_err(|_| error())
    }
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("v={}", text.replace('+', "%2B")).as_bytes())
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// For messages: the setting without what stands before the host.
fn without_password(setting: &str) -> String {
    match (setting.split_once("://"), setting.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => setting.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> ProxySettings {
        ProxySettings::from_variables(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn lower_case_wins_and_all_fills_in() {
        let read = settings(&[("http_proxy", "a"), ("HTTP_PROXY", "b"), ("ALL_PROXY", "c")]);
        assert_eq!((read.http.as_deref(), read.https.as_deref()), (Some("a"), Some("c")));
        assert_eq!(settings(&[("http_proxy", "")]), ProxySettings::default());
    }

    #[test]
    fn proxies_are_read() {
        let read = settings(&[("http_proxy", "http://user:p%40ss@proxy.invalid:3128/")]);
        let proxy = read.of_scheme("http").expect("valid").expect("set");
        assert_eq!((proxy.host(), proxy.port()), ("proxy.invalid", 3128));
        assert_eq!((proxy.username(), proxy.password()), (Some("user"), Some("p@ss")));
        assert_eq!(read.of_scheme("https"), Ok(None));
    }

    #[test]
    fn hosts_can_be_left_out() {
        let read = settings(&[
            ("http_proxy", "proxy.invalid:3128"),
            ("no_proxy", "a.invalid, .b.invalid"),
        ]);
        let proxy = read.of_scheme("http").expect("valid").expect("set");
        for (url, direct) in [
            ("http://a.invalid/", true),
            ("http://x.b.invalid/", true),
            ("http://c.invalid/", false),
        ] {
            assert_eq!(proxy.is_no_proxy(&url.parse().expect("a URL")), direct, "{url}");
        }
    }

    #[test]
    fn a_useless_setting_is_named_without_its_password() {
        let read = settings(&[("http_proxy", "gopher://user:secret@proxy.invalid")]);
        let error = read.of_scheme("http").expect_err("not http").to_string();
        assert!(error.contains("gopher://proxy.invalid") && !error.contains("secret"), "{error}");
    }
}
