//! weftrace-probes
