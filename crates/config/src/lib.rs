//! masq.toml to a checked configuration
