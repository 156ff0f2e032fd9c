//! Macros that make code from a declaration of metrics.

/// Declares [`Stats`] and the code that follows from its fields.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident = $tag:tt, $known:ident, $shown:ident $(($head:literal))?;)+) => {
        /// The numbers of one or many cells. Times are in nanoseconds, without the hooks' own time.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Stats {
            $($(#[doc = $help])+ pub $name: value::$kind,)+
        }

        impl Stats {
            /// Adds the numbers of other crossings.
            pub fn add(&mut self, other: &Stats) {
                $($kind::add(&mut self.$name, &other.$name);)+
            }

            /// Returns the numbers that were added since an earlier look at the same crossings.
            pub fn since(&self, before: &Stats) -> Stats {
                Stats { $($name: $kind::since(&self.$name, &before.$name),)+ }
            }

            /// Adds the numbers of a member of a file.
            pub(crate) fn read(&mut self, numbers: Numbers) {
                $($kind::read(&mut self.$name, numbers.$name);)+
            }
        }

        /// All metrics, in the order of the declaration.
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
            /// Returns the numbers to write after `before` was written.
            pub(crate) fn new(now: &Stats, before: &Stats) -> Numbers {
                Numbers { $($name: $kind::written(&now.$name, &before.$name),)+ }
            }
        }
    };
}

/// Declares the message of the numbers that were added since the previous member.
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
        /// The numbers of a cell in a file, as added since the previous member.
        #[derive(Clone, PartialEq, prost::Message)]
        pub(crate) struct Numbers { $($fields)* }
    };
}
