//! Debian-family archive client: signed indexes, resolution, lock, parallel fetch, cache.
