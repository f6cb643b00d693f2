//! Plain `http` through a forward proxy.
//!
//! ureq reaches every URL behind a proxy by CONNECT. Caching proxies (apt-cacher-ng, squid as shipped)
//! allow that only for port 443 and cannot cache what goes through it; they expect a request with the
//! whole URL in its first line (RFC 9112, 3.2.2). This connector opens the connection to the proxy and
//! writes that form. `https` is left to ureq's CONNECT.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::Uri;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, TcpConnector, Transport,
};
use ureq::{Error, Proxy, ProxyProtocol};

/// First link of the chain of connectors: takes `http` URLs that have an `http` proxy.
#[derive(Debug, Default)]
pub(crate) struct ForwardProxyConnector;

impl<In: Transport> Connector<In> for ForwardProxyConnector {
    type Out = Either<In, ForwardProxyTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let Some(proxy) = details.config.proxy() else { return Ok(None) };
        let plain = details.uri.scheme_str() == Some("http");
        if !plain || proxy.protocol() != ProxyProtocol::Http || proxy.is_no_proxy(details.uri) {
            return Ok(None);
        }
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs: details.resolver.resolve(proxy.uri(), details.config, details.timeout)?,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let tcp = TcpConnector::default().connect(&to_proxy, None::<()>)?;
        Ok(tcp.map(|tcp| {
            let target = target(details.uri);
            let authorization = authorization(proxy);
            Either::B(ForwardProxyTransport { inner: Box::new(tcp), target, authorization })
        }))
    }
}

/// A connection to a proxy that serves one origin.
#[derive(Debug)]
pub(crate) struct ForwardProxyTransport {
    inner: Box<dyn Transport>,
    /// `http://HOST:PORT` of the origin.
    target: String,
    /// Header line for the proxy, or empty.
    authorization: String,
}

impl Transport for ForwardProxyTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let request = output.get(..amount).unwrap_or_default();
        let Some(rewritten) = rewrite(request, &self.target, &self.authorization) else {
            return self.inner.transmit_output(amount, timeout);
        };
        let room = output
            .get_mut(..rewritten.len())
            .ok_or(Error::LargeResponseHeader(rewritten.len(), amount))?;
        room.copy_from_slice(&rewritten);
        self.inner.transmit_output(rewritten.len(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// Turns the head of a GET request into the absolute form. `None` when it is not the beginning of one;
/// GET is all that this crate sends, and ureq sends a head at once.
fn rewrite(request: &[u8], target: &str, authorization: &str) -> Option<Vec<u8>> {
    let rest = request.strip_prefix(b"GET ").filter(|rest| rest.starts_with(b"/"))?;
    let line = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let (path, headers) = rest.split_at_checked(line + 2)?;
    Some([b"GET ", target.as_bytes(), path, authorization.as_bytes(), headers].concat())
}

fn target(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    uri.port_u16().map_or_else(|| format!("http://{host}"), |port| format!("http://{host}:{port}"))
}

fn authorization(proxy: &Proxy) -> String {
    let Some(user) = proxy.username() else { return String::new() };
    let credentials = format!("{user}:{}", proxy.password().unwrap_or_default());
    format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_the_whole_url() {
        let request = b"GET /debian/x HTTP/1.1\r\nHost: mirror.invalid\r\n\r\n";
        let target = target(&Uri::from_static("http://mirror.invalid:8080/debian/x"));
        let rewritten = rewrite(request, &target, "A: b\r\n").expect("a request");
        assert_eq!(
            String::from_utf8(rewritten).expect("text"),
            "GET http://mirror.invalid:8080/debian/x HTTP/1.1\r\nA: b\r\n\
             Host: mirror.invalid\r\n\r\n"
        );
        for other in [b"POST / HTTP/1.1\r\n".as_slice(), b"GET http://a/", b"", b"GET /half"] {
            assert_eq!(rewrite(other, &target, ""), None);
        }
    }
}
