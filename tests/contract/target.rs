//! What exchanges are replayed against.

use std::io;

use aws_lc_rs::signature::EcdsaKeyPair;
use serde_json::Value;

use crate::http::Io;

/// One or three backends (`gateway`, `alpha`, `beta`) with one key pair.
pub(crate) trait Target {
    /// Opens a new connection to the API of `cluster`.
    async fn connect(&self, cluster: &str) -> io::Result<Box<dyn Io>>;

    /// The private key whose public half the backends verify tokens with.
    fn key(&self) -> &EcdsaKeyPair;

    /// Whether [`etcd`](Self::etcd) and [`mint_hs256`](Self::mint_hs256) work.
    fn has_etcd(&self) -> bool;

    /// A token signed with the secret that `cluster` keeps in its store.
    async fn mint_hs256(&self, cluster: &str, header: &Value, claims: &Value) -> io::Result<String>;

    /// Acts on the store of `cluster` behind the API's back; returns the value on a get.
    async fn etcd(&self, cluster: &str, step: Step<'_>) -> io::Result<Option<Vec<u8>>>;
}

/// An operation on etcd.
pub(crate) enum Step<'a> {
    Get(&'a str),
    Put(&'a str, Vec<u8>),
    Delete(&'a str),
}

/// The cluster asked by groups that have only one.
pub(crate) const MAIN: &str = "gateway";

/// What `init` was given on every backend.
pub(crate) const ADMIN: (&str, &str) = ("admin", "P@ssw0rd!");
