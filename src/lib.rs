//! fedgate: a federation gateway in front of several Sensu Go clusters.
//!
//! (The picture of a request's life and the table of layers are filled in with the modules.)

pub mod error;
pub mod sim;
pub mod types;
pub mod wire;

#[doc(hidden)]
pub mod cli {
    /// Placeholder of the first commit.
    pub fn run() -> std::process::ExitCode {
        std::process::ExitCode::SUCCESS
    }
}
