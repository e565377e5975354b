//! The commands that talk to a gateway (or to a Sensu backend) as a user.
mod document;
mod files;
mod kind;
mod yaml;
