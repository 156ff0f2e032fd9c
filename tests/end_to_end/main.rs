//! The cgoprof binary on real Go programs.

mod attach;
mod bad_input;
mod builds;
mod cgoprof;
mod closeness;
mod engines;
mod field;
mod formats;
mod go;
mod hosts;
mod joining;
mod launcher;
mod libraries;
mod matrix;
mod output;
mod plugins;
mod samples;
mod screens;
mod seccomp_filter;
mod steal;
mod symbols;
mod tmux;
mod torture;
mod tracebacks;
mod unharmed;
mod words;
