//! The root tree: .deb files unpacked and configured by dpkg in an isolated namespace.
