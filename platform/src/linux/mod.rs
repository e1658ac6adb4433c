//! The Linux tables.
