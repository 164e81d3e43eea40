//! weftrace-runtime
