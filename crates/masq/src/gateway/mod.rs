pub(crate) mod flows;
