//! The client against small servers in this process, one rule of the protocol a test.

mod answers;
mod calls;
mod kit;
mod login;
mod rows;
