//! Grammar that several extensions share; each has its own namespace constant where it has one.

pub mod delay;
pub mod forms;
pub mod rsm;
pub mod time;
