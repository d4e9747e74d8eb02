//! Integration tests of the program.

mod accounts;
mod commands;
mod lab;
