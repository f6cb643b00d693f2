//! Which suites are read, and from where.
//!
//! The mirror is the definition's, else `STONECELL_MIRROR`, else what the host's own apt uses. No host
//! name is written here. The security suite lives beside the main one: see [`security_base`].

use std::path::PathBuf;

use thiserror::Error;
use url::Url;

/// Suites that a Debian host may name instead of its release.
const DEBIAN_ALIASES: [&str; 5] = ["stable", "oldstable", "testing", "unstable", "sid"];

/// Every suite that is read, and the architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Suites, in the order in which they are preferred for equal versions.
    pub suites: Vec<SuiteSource>,
    /// Debian architecture, for example `amd64`.
    pub architecture: String,
}

/// One signed suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteSource {
    /// Name in the lock, and the `Suite` or `Codename` that its Release file must carry.
    pub name: String,
    /// Root of the mirror, without `dists`.
    pub base_url: Url,
    /// Directory below `dists`, usually the name.
    pub dist_path: String,
    /// Components, for example `main`.
    pub components: Vec<String>,
    /// Keyring whose keys may sign it.
    pub keyring: PathBuf,
}

/// The families of archives that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Debian: updates beside the release, security on a sibling mirror.
    Debian,
    /// Ubuntu: updates and security beside the release.
    Ubuntu,
}

impl Distribution {
    /// `ID` in os-release(5).
    pub fn id(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
        }
    }
}

/// What is installed from, as the definition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Family of the archive.
    pub distribution: Distribution,
    /// Codename, for example `bookworm`.
    pub release: String,
    /// Debian architecture, for example `amd64`.
    pub architecture: String,
    /// Components, for example `main`.
    pub components: Vec<String>,
    /// Further suites of the main mirror, for example `bookworm-backports`.
    pub extra_suites: Vec<String>,
    /// Keyring whose keys sign the archive.
    pub keyring: PathBuf,
}

/// Where the archive may be, as plain values.
#[derive(Debug, Clone, Copy, Default)]
pub struct MirrorRequest<'a> {
    /// Mirror of the definition.
    pub definition: Option<&'a str>,
    /// Security mirror of the definition, when it is not beside the mirror.
    pub definition_security: Option<&'a str>,
    /// Value of `STONECELL_MIRROR`.
    pub environment: Option<&'a str>,
    /// The host's own configuration.
    pub host: Option<&'a HostApt>,
}

/// What the host's apt reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostApt {
    /// `ID` in os-release(5), for example `debian`.
    pub id: String,
    /// `VERSION_CODENAME` in os-release(5), for example `bookworm`.
    pub codename: String,
    /// Suites, in apt's order.
    pub entries: Vec<HostEntry>,
}

/// One suite of the host's apt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// Root of the mirror.
    pub base: String,
    /// Directory below `dists`.
    pub suite: String,
}

/// Why the archive is not found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MirrorError {
    /// Nobody names a mirror.
    #[error(
        "no mirror for {distribution} {release}: the definition and STONECELL_MIRROR name none, and \
         this machine's apt has none for it; set one of the two to the root of a mirror, for example \
         http://mirror.invalid/{distribution}"
    )]
    None {
        /// `debian` or `ubuntu`.
        distribution: &'static str,
        /// Codename.
        release: String,
    },
    /// A mirror's address is not one.
    #[error("the mirror `{value}` of {origin} is not an http, https or file URL")]
    Url {
        /// The address.
        value: String,
        /// Where it stands.
        origin: &'static str,
    },
}

/// Decides where every suite of `base` is read from.
///
/// # Errors
///
/// No mirror, or one whose address cannot be used.
pub fn mirrors(base: &Base, request: &MirrorRequest<'_>) -> Result<Sources, MirrorError> {
    let (main, security) = bases(base, request)?;
    let release = &base.release;
    let suite = |name: String, base_url: &Url| SuiteSource {
        dist_path: name.clone(),
        name,
        base_url: base_url.clone(),
        components: base.components.clone(),
        keyring: base.keyring.clone(),
    };
    let mut suites = vec![
        suite(release.clone(), &main),
        suite(format!("{release}-updates"), &main),
        suite(format!("{release}-security"), &security),
    ];
    suites.extend(base.extra_suites.iter().map(|name| suite(name.clone(), &main)));
    Ok(Sources { suites, architecture: base.architecture.clone() })
}

/// Roots of the main and of the security mirror.
fn bases(base: &Base, request: &MirrorRequest<'_>) -> Result<(Url, Url), MirrorError> {
    let set =
        |value: Option<&str>| value.map(str::trim).filter(|v| !v.is_empty()).map(String::from);
    let given = set(request.definition)
        .map(|mirror| (mirror, "the definition"))
        .or_else(|| set(request.environment).map(|mirror| (mirror, "STONECELL_MIRROR")));
    let named_security = set(request.definition_security)
        .map(|mirror| parse(&mirror, "the definition"))
        .transpose()?;
    if let Some((mirror, origin)) = given {
        let main = parse(&mirror, origin)?;
        let security = named_security.unwrap_or_else(|| security_base(base.distribution, &main));
        return Ok((main, security));
    }
    let none = || MirrorError::None {
        distribution: base.distribution.id(),
        release: base.release.clone(),
    };
    let host = request.host.ok_or_else(none)?;
    let origin = "this machine's apt configuration";
    let find = |suffix: &str| host_base(base, host, suffix);
    let main = parse(find("").ok_or_else(none)?, origin)?;
    let security = match (named_security, find("-security")) {
        (Some(security), _) => security,
        (None, Some(security)) => parse(security, origin)?,
        (None, None) => security_base(base.distribution, &main),
    };
    Ok((main, security))
}

/// The host's mirror for the release, or, on a host of the same distribution, for the host's own: one
/// mirror carries every release.
fn host_base<'a>(base: &Base, host: &'a HostApt, suffix: &str) -> Option<&'a str> {
    let mut wanted = vec![format!("{}{suffix}", base.release)];
    if host.id == base.distribution.id() {
        wanted.push(format!("{}{suffix}", host.codename));
        if base.distribution == Distribution::Debian {
            wanted.extend(DEBIAN_ALIASES.iter().map(|alias| format!("{alias}{suffix}")));
        }
    }
    wanted.iter().find_map(|suite| {
        host.entries.iter().find(|entry| entry.suite == *suite).map(|entry| entry.base.as_str())
    })
}

/// The security mirror that belongs to a main mirror.
///
/// Debian keeps it apart: the last part of the path that is `debian` becomes `debian-security`, which
/// holds for live mirrors (`/debian`) and for dated ones (`/archive/debian/20260701T000000Z`). A mirror
/// without such a part serves both, as every Ubuntu mirror does.
pub(crate) fn security_base(distribution: Distribution, main: &Url) -> Url {
    let mut security = main.clone();
    if distribution == Distribution::Debian {
        let mut parts: Vec<&str> = main.path().split('/').collect();
        if let Some(part) = parts.iter_mut().rev().find(|part| **part == "debian") {
            *part = "debian-security";
        }
        security.set_path(&parts.join("/"));
    }
    security
}

/// The time that a dated snapshot mirror names in its path (`20260701T000000Z`), in seconds since
/// 1970. `Valid-Until` is measured against it, because the user asked for the state of that time.
pub(crate) fn snapshot_time(base: &Url) -> Option<i64> {
    base.path().split('/').rev().find_map(|part| {
        let civil = part.strip_suffix('Z')?;
        let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", civil).ok()?;
        let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(zoned.timestamp().as_second())
    })
}

/// `path` below the root of a mirror.
pub(crate) fn join(base: &Url, path: &str) -> Option<Url> {
    let mut url = base.clone();
    let mut segments = url.path_segments_mut().ok()?;
    segments.pop_if_empty().extend(path.split('/'));
    drop(segments);
    Some(url)
}

fn parse(value: &str, origin: &'static str) -> Result<Url, MirrorError> {
    let error = || MirrorError::Url { value: value.to_owned(), origin };
    let url = Url::parse(value).map_err(|_| error())?;
    if !matches!(url.scheme(), "http" | "https" | "file") || url.cannot_be_a_base() {
        return Err(error());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(distribution: Distribution, release: &str) -> Base {
        Base {
            distribution,
            release: release.into(),
            architecture: "amd64".into(),
            components: vec!["main".into()],
            extra_suites: vec![],
            keyring: "/keyring".into(),
        }
    }

    fn urls(sources: &Sources) -> Vec<(&str, &str)> {
        let pair = |suite: &'_ SuiteSource| (suite.name.clone(), suite.base_url.to_string());
        sources.suites.iter().map(pair).map(|(n, u)| (n.leak() as &str, u.leak() as &str)).collect()
    }

    fn host() -> HostApt {
        let entry = |base: &str, suite: &str| HostEntry { base: base.into(), suite: suite.into() };
        HostApt {
            id: "debian".into(),
            codename: "bookworm".into(),
            entries: vec![
                entry("http://other.invalid/apt", "nodistro"),
                entry("http://mirror.invalid/debian", "bookworm"),
                entry("http://security.invalid/debian-security", "bookworm-security"),
            ],
        }
    }

    #[test]
    fn the_definition_wins_then_the_environment_then_the_host() {
        let host = host();
        let mut request = MirrorRequest {
            definition: Some("https://a.invalid/debian/"),
            environment: Some("https://b.invalid/debian"),
            host: Some(&host),
            ..MirrorRequest::default()
        };
        let bookworm = base(Distribution::Debian, "bookworm");
        let sources = mirrors(&bookworm, &request).expect("definition");
        assert_eq!(
            urls(&sources),
            [
                ("bookworm", "https://a.invalid/debian/"),
                ("bookworm-updates", "https://a.invalid/debian/"),
                ("bookworm-security", "https://a.invalid/debian-security/"),
            ]
        );
        request.definition = Some(" ");
        let sources = mirrors(&bookworm, &request).expect("environment");
        assert_eq!(urls(&sources)[0].1, "https://b.invalid/debian");
        request.environment = None;
        let sources = mirrors(&bookworm, &request).expect("host");
        assert_eq!(urls(&sources)[1].1, "http://mirror.invalid/debian");
        assert_eq!(urls(&sources)[2].1, "http://security.invalid/debian-security");
    }

    #[test]
    fn a_host_serves_other_releases_of_its_distribution_only() {
        let host = host();
        let request = MirrorRequest { host: Some(&host), ..MirrorRequest::default() };
        let trixie = mirrors(&base(Distribution::Debian, "trixie"), &request).expect("host");
        assert_eq!(urls(&trixie)[0], ("trixie", "http://mirror.invalid/debian"));
        let jammy = mirrors(&base(Distribution::Ubuntu, "jammy"), &request);
        assert!(matches!(jammy, Err(MirrorError::None { .. })));
    }

    #[test]
    fn security_is_beside_the_mirror() {
        for (distribution, main, security) in [
            (Distribution::Debian, "http://m.invalid/debian", "http://m.invalid/debian-security"),
            (
                Distribution::Debian,
                "https://s.invalid/archive/debian/20260701T000000Z/",
                "https://s.invalid/archive/debian-security/20260701T000000Z/",
            ),
            (Distribution::Debian, "file:///srv/mirror", "file:///srv/mirror"),
            (Distribution::Ubuntu, "http://m.invalid/ubuntu", "http://m.invalid/ubuntu"),
        ] {
            let main = Url::parse(main).expect("a URL");
            assert_eq!(security_base(distribution, &main).as_str(), security);
        }
    }

    #[test]
    fn snapshots_name_their_time() {
        let time = |url: &str| snapshot_time(&Url::parse(url).expect("a URL"));
        let dated = "https://s.invalid/archive/debian/20260711T101637Z/";
        assert_eq!(time(dated), Some(1_783_764_997));
        assert_eq!(time("https://m.invalid/debian"), None);
    }

    #[test]
    fn bad_addresses_are_named() {
        let request = MirrorRequest { environment: Some("mirror"), ..MirrorRequest::default() };
        let error = mirrors(&base(Distribution::Debian, "bookworm"), &request).expect_err("no URL");
        assert!(error.to_string().contains("`mirror` of STONECELL_MIRROR"), "{error}");
    }

    #[test]
    fn paths_are_joined_below_the_root() {
        for root in ["http://m.invalid/debian", "http://m.invalid/debian/"] {
            let root = Url::parse(root).expect("a URL");
            let joined = join(&root, "pool/main/g/g++/g++_1~2_all.deb").expect("a base");
            assert_eq!(joined.as_str(), "http://m.invalid/debian/pool/main/g/g++/g++_1~2_all.deb");
        }
    }
}
