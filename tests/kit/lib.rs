//! A whole world in one process: a Salesforce org, the service on a folder of its
//! own, users, and the clocks of both. A test says what is in the org, lets time or
//! a person act, and looks at what became of it.

mod cuts;
mod guest;
mod look;
mod opportunity;
mod portal;
mod smtp;
mod snapshot;
mod world;

pub use cuts::{Cut, Cuts};
pub use guest::guest;
pub use opportunity::{Opportunity, opportunity};
pub use smtp::{SmtpServer, TakenMail};
pub use world::{ACME, BEGINNING, Person, World, distributor, hours, minutes, partner};
