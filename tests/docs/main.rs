//! Every Markdown file of the repository is true: its blocks parse, its commands run, its links lead somewhere, and its
//! tables name what there is.
//!
//! A fenced block must have one of four languages, so that none is passed over:
//!
//! | language | what is done with it |
//! |---|---|
//! | `sh` | run, with the page's other blocks as one script, against a demo: see [`commands`] |
//! | `yaml` | loaded as a configuration or as Sensu's `backend.yml`, or created by the page's commands: see [`blocks`] |
//! | `json` | parsed |
//! | `text` | nothing: output, pictures |

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocks;
mod commands;
mod demo;
mod links;
mod markdown;
mod tables;
mod words;
