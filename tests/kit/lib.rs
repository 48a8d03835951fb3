//! A whole world in one process: a Salesforce org, the service on a folder of its
//! own, users, and the clocks of both. A test says what is in the org, lets time or
//! a person act, and looks at what became of it.

mod binaries;
mod cuts;
mod guest;
mod look;
mod opportunity;
mod portal;
mod shell;
mod smtp;
mod snapshot;
mod world;

pub use binaries::{Binaries, binaries, root};
pub use cuts::{Cut, Cuts};
pub use guest::guest;
pub use opportunity::{Opportunity, opportunity};
pub use shell::{Answer, DANA, PATIENCE, Running, Shell, answer, wait_until};
pub use smtp::{SmtpServer, TakenMail};
pub use world::{ACME, BEGINNING, Person, World, distributor, hours, minutes, partner};
