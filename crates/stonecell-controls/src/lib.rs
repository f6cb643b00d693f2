//! The hardening catalogue: one declaration of each control, applied at build and checked at audit.
