//! What screens know besides the data. Pure: keys in, state out.

pub(crate) mod background;
pub(crate) mod detail;
pub(crate) mod flame;
pub(crate) mod outbox;
pub(crate) mod overlay;
pub(crate) mod prompt;
pub(crate) mod scroll;
pub(crate) mod sources;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod timeline;
pub(crate) mod tree;
pub(crate) mod watched;
