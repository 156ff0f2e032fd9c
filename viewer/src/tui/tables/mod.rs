//! Tables on screens: which columns of a table are drawn, how wide they are and in which colours.

mod advice;
mod callbacks;
pub(crate) mod functions;
mod goroutines;
mod listed;
mod locks;
mod sheet;
mod threads;

pub(crate) use listed::Listed;
pub(crate) use sheet::{Sheet, Tint};

pub(crate) use crate::tables::{Align, SortKey};
