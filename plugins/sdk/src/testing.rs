//! Runs rules natively, by field name: no component, no host.
