//! The inbound part of the nftables ruleset, from the definition's firewall table.
//!
//! The ruleset itself is a control (`controls/firewall.toml`); this fills its one parameter, so that what a
//! role opens is stated once, in the definition.

use std::fmt::Write;

/// One opening.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Destination port.
    pub port: u16,
    /// Source network in CIDR form; anywhere when absent.
    pub from: Option<String>,
}

/// Transport protocols that nftables matches on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// The rules, one a line, sorted; empty when nothing is open.
#[must_use]
pub fn inbound_rules(openings: &[Opening]) -> String {
    let mut sorted: Vec<&Opening> = openings.iter().collect();
    sorted.sort();
    sorted.dedup();
    let mut rules = String::new();
    for opening in sorted {
        let protocol = match opening.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let source = match &opening.from {
            Some(network) if network.contains(':') => format!("ip6 saddr {network} "),
            Some(network) => format!("ip saddr {network} "),
            None => String::new(),
        };
        if !rules.is_empty() {
            rules.push_str("\n        ");
        }
        let _ = write!(rules, "{source}{protocol} dport {} accept", opening.port);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_and_names_the_address_family() {
        let openings = [
            Opening { protocol: Protocol::Tcp, port: 443, from: None },
            Opening { protocol: Protocol::Tcp, port: 22, from: Some("10.0.0.0/8".into()) },
            Opening { protocol: Protocol::Udp, port: 53, from: Some("fd00::/8".into()) },
            Opening { protocol: Protocol::Tcp, port: 443, from: None },
        ];
        assert_eq!(
            inbound_rules(&openings),
            "ip saddr 10.0.0.0/8 tcp dport 22 accept\n        tcp dport 443 accept\n        \
             ip6 saddr fd00::/8 udp dport 53 accept"
        );
        assert_eq!(inbound_rules(&[]), "");
    }
}
