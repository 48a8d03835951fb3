//! The sandbox from outside: real components, asked as the server asks them.

mod answers;
mod cache;
mod hostile;
mod kit;
mod refused;
