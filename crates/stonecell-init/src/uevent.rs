//! Messages of the kernel's device model on the netlink socket.

/// What a message says, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uevent {
    /// `add`, `change`, `remove`, ...
    pub action: String,
    /// `block`, `pci`, `virtio`, ...
    pub subsystem: String,
    /// The alias that names the driver, if the device has one.
    pub modalias: Option<String>,
}

/// Reads `ACTION@PATH`, then `KEY=VALUE`, each ended by a zero byte. `None` if it is no such message
/// (udev's own messages begin with `libudev`).
pub fn parse(message: &[u8]) -> Option<Uevent> {
    let mut fields = message.split(|&b| b == 0);
    let head = std::str::from_utf8(fields.next()?).ok()?;
    let (action, _path) = head.split_once('@')?;
    let mut event = Uevent { action: action.to_owned(), ..Uevent::default() };
    for field in fields.filter_map(|field| std::str::from_utf8(field).ok()) {
        match field.split_once('=') {
            Some(("SUBSYSTEM", value)) => value.clone_into(&mut event.subsystem),
            Some(("MODALIAS", value)) => event.modalias = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_an_added_device() {
        let event = parse(
            b"add@/devices/pci0/virtio1\0ACTION=add\0SUBSYSTEM=virtio\0MODALIAS=virtio:d2v3\0SEQNUM=9\0",
        )
        .unwrap();
        assert_eq!((event.action.as_str(), event.subsystem.as_str()), ("add", "virtio"));
        assert_eq!(event.modalias.as_deref(), Some("virtio:d2v3"));
    }

    #[test]
    fn ignores_what_the_kernel_did_not_write() {
        assert_eq!(parse(b"libudev\0\xfe\xed"), None);
        assert_eq!(parse(b""), None);
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
