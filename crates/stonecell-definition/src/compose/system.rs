//! What the running system does: units, controls, firewall.

use std::net::IpAddr;

use jiff::civil::Date;

use super::decide::{Errors, Layers, Word, last, settle};
use crate::definition::{Controls, Inbound, OptOut, PROFILES, ParameterValue, Protocol, Services};
use crate::error::{DefinitionError, nearest};
use crate::file::tables;
use crate::file::text::UnitName;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtBoot {
    Enabled,
    Disabled,
    Masked,
}

/// Suffixes of unit names; a name without one is a service.
const UNIT_SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".timer",
    ".path",
    ".target",
    ".mount",
    ".automount",
    ".swap",
    ".slice",
    ".scope",
    ".device",
];

pub(super) fn services(layers: &Layers, errors: &mut Errors) -> Services {
    let unit = |name: &UnitName| {
        let whole = UNIT_SUFFIXES.iter().any(|suffix| name.0.ends_with(suffix));
        if whole { name.0.clone() } else { format!("{}.service", name.0) }
    };
    let enable = layers.each(|file| &file.services.enable);
    let disable = layers.each(|file| &file.services.disable);
    let mask = layers.each(|file| &file.services.mask);
    let words = enable
        .map(|word| (unit(word.value), word.map(|_| AtBoot::Enabled)))
        .chain(disable.map(|word| (unit(word.value), word.map(|_| AtBoot::Disabled))))
        .chain(mask.map(|word| (unit(word.value), word.map(|_| AtBoot::Masked))));
    // A disabled unit may be masked as well: masking says more.
    let agree =
        |one: &AtBoot, other: &AtBoot| (*one == AtBoot::Enabled) == (*other == AtBoot::Enabled);
    let tell = |name: &String, state: &AtBoot| match state {
        AtBoot::Enabled => format!("enables `{name}`"),
        AtBoot::Disabled => format!("disables `{name}`"),
        AtBoot::Masked => format!("masks `{name}`"),
    };
    let mut services = Services::default();
    for (name, words) in settle(words, agree, tell, errors) {
        let masked = words.iter().any(|word| word.value == AtBoot::Masked);
        let enabled = words.iter().all(|word| word.value == AtBoot::Enabled);
        match (masked, enabled) {
            (true, _) => services.mask.push(name),
            (false, true) => services.enable.push(name),
            (false, false) => services.disable.push(name),
        }
    }
    services
}

pub(super) fn controls(layers: &Layers, today: Date, errors: &mut Errors) -> Controls {
    let profile =
        last("controls.profile", layers.field(|file| file.controls.profile.as_ref()), errors);
    if let Some(word) = &profile
        && !PROFILES.contains(&word.value.0.as_str())
    {
        let all = PROFILES.join(", ");
        let help = match nearest(&word.value.0, PROFILES) {
            Some(meant) => format!("did you mean `{meant}`? profiles are {all}"),
            None => format!("profiles are {all}"),
        };
        let message = format!("unknown profile `{}`", word.value);
        errors.push(DefinitionError::new(word.place(), message).help(help));
    }
    Controls {
        profile: profile.map_or_else(|| "stonecell".to_owned(), |word| word.value.0.clone()),
        opt_outs: opt_outs(layers, today, errors),
        parameters: parameters(layers, errors),
    }
}

fn opt_outs(layers: &Layers, today: Date, errors: &mut Errors) -> Vec<OptOut> {
    let mut words = Vec::new();
    for word in layers.each(|file| &file.controls.opt_out) {
        let raw: &tables::OptOut = word.value;
        match raw.expires.value.0.parse::<Date>() {
            Ok(expires) => {
                let opt_out = OptOut {
                    control: raw.control.value.0.clone(),
                    reason: raw.reason.value.0.clone(),
                    owner: raw.owner.value.0.clone(),
                    expires,
                };
                let date = raw.expires.span.clone();
                words.push((opt_out.control.clone(), word.map(|_| (opt_out, date))));
            }
            Err(error) => {
                let place = word.layer.source.place(&raw.expires.span);
                let message = format!("`expires` is {:?}: {error}", raw.expires.value.0);
                errors
                    .push(DefinitionError::new(place, message).help("expected a day that exists"));
            }
        }
    }
    let agree = |one: &(OptOut, _), other: &(OptOut, _)| one.0 == other.0;
    let tell = |control: &String, _: &_| format!("opts out of {control} in other words");
    let settled = settle(words, agree, tell, errors);
    let winners = settled.into_values().filter_map(|words| words.into_iter().next());
    winners
        .map(|word| {
            let (opt_out, date) = word.value;
            if opt_out.expires <= today {
                let message = format!(
                    "the opt-out of {} expired on {}",
                    opt_out.control, opt_out.expires
                );
                let help = format!(
                    "meet the control and delete the opt-out, or have its owner, {}, set a new date",
                    opt_out.owner
                );
                let place = word.layer.source.place(&date);
                errors.push(DefinitionError::new(place, message).help(help));
            }
            opt_out
        })
        .collect()
}

fn parameters(layers: &Layers, errors: &mut Errors) -> Vec<ParameterValue> {
    let words = layers.each(|file| &file.controls.parameter).map(|word| {
        let raw: &tables::ParameterValue = word.value;
        ((raw.control.value.0.clone(), raw.name.value.0.clone()), word)
    });
    let agree = |one: &&tables::ParameterValue, other: &&tables::ParameterValue| {
        one.value.value == other.value.value
    };
    let tell = |key: &(String, String), raw: &&tables::ParameterValue| {
        format!("sets `{}` of {} to {:?}", key.1, key.0, raw.value.value.0)
    };
    let settled = settle(words, agree, tell, errors);
    let winners =
        settled.into_iter().filter_map(|(key, words)| Some((key, words.into_iter().next()?)));
    winners
        .map(|((control, name), word)| ParameterValue {
            control,
            name,
            value: word.value.value.value.0.clone(),
            reason: word.value.reason.value.0.clone(),
        })
        .collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Port {
    Open(Inbound),
    Closed(String),
}

pub(super) fn firewall(layers: &Layers, errors: &mut Errors) -> Vec<Inbound> {
    let port = |number: i64| u16::try_from(number).unwrap_or(u16::MAX);
    let mut words: Vec<((Protocol, u16), Word<'_, Port>)> = Vec::new();
    for word in layers.each(|file| &file.firewall.inbound) {
        let raw: &tables::Inbound = word.value;
        if let Some(from) = &raw.from
            && let Err(wrong) = check_network(&from.value.0)
        {
            let place = word.layer.source.place(&from.span);
            let message = format!("`from` is {:?}: {wrong}", from.value.0);
            errors.push(
                DefinitionError::new(place, message)
                    .help("expected a network such as \"10.0.0.0/8\""),
            );
        }
        let open = Inbound {
            protocol: raw.protocol,
            port: port(raw.port.value),
            from: raw.from.as_ref().map(|from| from.value.0.clone()),
            why: raw.why.value.0.clone(),
        };
        words.push(((open.protocol, open.port), word.map(|_| Port::Open(open))));
    }
    for word in layers.each(|file| &file.firewall.deny) {
        let key = (word.value.protocol, port(word.value.port.value));
        let why = word.value.why.value.0.clone();
        words.push((key, word.map(|_| Port::Closed(why))));
    }
    let agree = |one: &Port, other: &Port| {
        matches!(one, Port::Closed(_)) == matches!(other, Port::Closed(_))
    };
    let tell = |key: &(Protocol, u16), value: &Port| match value {
        Port::Open(_) => format!("opens port {}/{}", key.1, key.0.name()),
        Port::Closed(why) => format!("denies port {}/{} ({why})", key.1, key.0.name()),
    };
    let settled = settle(words, agree, tell, errors);
    let mut open: Vec<Inbound> = settled
        .into_values()
        .flatten()
        .filter_map(|word| match word.value {
            Port::Open(inbound) => Some(inbound),
            Port::Closed(_) => None,
        })
        .collect();
    open.sort();
    open.dedup_by(|later, kept| {
        (later.protocol, later.port, &later.from) == (kept.protocol, kept.port, &kept.from)
    });
    open
}

fn check_network(text: &str) -> Result<(), String> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let address: IpAddr = address.parse().map_err(|_| "not an address".to_owned())?;
    let bits = if address.is_ipv4() { 32_u32 } else { 128 };
    let Some(prefix) = prefix else { return Ok(()) };
    let prefix: u32 = prefix.parse().map_err(|_| "not a prefix length".to_owned())?;
    if prefix > bits {
        return Err(format!("the prefix is longer than {bits} bits"));
    }
    let value = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    if prefix < 128 && value << prefix != 0 {
        return Err("there are bits behind the prefix".to_owned());
    }
    Ok(())
}

pub(super) fn setuid(layers: &Layers) -> Vec<String> {
    let mut allow: Vec<_> =
        layers.each(|file| &file.setuid.allow).map(|word| word.value.0.clone()).collect();
    allow.sort();
    allow.dedup();
    allow
}
