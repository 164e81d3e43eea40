//! Unwinding.
