//! What follows from a declaration of metrics.

/// Declares [`Stats`] and what follows from its fields.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident = $tag:tt, $known:ident, $shown:ident $(($head:literal))?;)+) => {
        /// The numbers of one or many cells. Times in nanoseconds, the hooks' own time taken off.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Stats {
            $($(#[doc = $help])+ pub $name: value::$kind,)+
        }

        impl Stats {
            /// Adds another's.
            pub fn add(&mut self, other: &Stats) {
                $($kind::add(&mut self.$name, &other.$name);)+
            }

            /// What has come since an earlier look at the same crossings.
            pub fn since(&self, before: &Stats) -> Stats {
                Stats { $($name: $kind::since(&self.$name, &before.$name),)+ }
            }

            /// Adds what a member of a file holds.
            pub(crate) fn read(&mut self, numbers: Numbers) {
                $($kind::read(&mut self.$name, numbers.$name);)+
            }
        }

        /// All of them, in the order of the declaration.
        pub const METRICS: &[Metric] = &[
            $(Metric {
                name: stringify!($name),
                known: Known::$known,
                shown: Shown::$shown $(($head))?,
                of: |stats| $kind::reading(&stats.$name),
            },)+
        ];

        message! { [] $($name: $kind = $tag;)+ }

        impl Numbers {
            /// What is to be written of numbers that were written before.
            pub(crate) fn new(now: &Stats, before: &Stats) -> Numbers {
                Numbers { $($name: $kind::written(&now.$name, &before.$name),)+ }
            }
        }
    };
}

/// Declares the message of the numbers: what has come since the member before.
macro_rules! message {
    ([$($fields:tt)*] $name:ident: Count = $tag:tt; $($rest:tt)*) => {
        message! { [$($fields)* #[prost(uint64, tag = $tag)] pub(crate) $name: u64,] $($rest)* }
    };
    ([$($fields:tt)*] $name:ident: Net = $tag:tt; $($rest:tt)*) => {
        message! { [$($fields)* #[prost(sint64, tag = $tag)] pub(crate) $name: i64,] $($rest)* }
    };
    ([$($fields:tt)*] $name:ident: Latest = $tag:tt; $($rest:tt)*) => {
        message! { [$($fields)* #[prost(sint64, tag = $tag)] pub(crate) $name: i64,] $($rest)* }
    };
    ([$($fields:tt)*] $name:ident: Nanos = $tag:tt; $($rest:tt)*) => {
        message! { [$($fields)* #[prost(double, tag = $tag)] pub(crate) $name: f64,] $($rest)* }
    };
    ([$($fields:tt)*] $name:ident: Longest = $tag:tt; $($rest:tt)*) => {
        message! { [$($fields)* #[prost(double, tag = $tag)] pub(crate) $name: f64,] $($rest)* }
    };
    ([$($fields:tt)*] $name:ident: Sum = $tag:tt; $($rest:tt)*) => {
        message! {
            [$($fields)* #[prost(message, optional, tag = $tag)] pub(crate) $name: Option<crate::estimate::Wire>,]
            $($rest)*
        }
    };
    ([$($fields:tt)*] $name:ident: Times = $tag:tt; $($rest:tt)*) => {
        message! {
            [$($fields)* #[prost(message, optional, tag = $tag)] pub(crate) $name: Option<crate::distribution::Wire>,]
            $($rest)*
        }
    };
    ([$($fields:tt)*]) => {
        /// The numbers of a cell in a file: what has come to each since the member before.
        #[derive(Clone, PartialEq, prost::Message)]
        pub(crate) struct Numbers { $($fields)* }
    };
}
