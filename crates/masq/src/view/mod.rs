//! The control messages as people read them: text out of values, no input and no output.

pub(crate) mod doctor;
pub(crate) mod flows;
pub(crate) mod instances;
pub(crate) mod mappings;
pub(crate) mod reload;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod units;
