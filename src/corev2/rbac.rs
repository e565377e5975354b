use std::collections::HashMap;

use prost::Message;
use serde::{Deserialize, Deserializer};

/// Name and namespace of a resource, with its labels and annotations.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct ObjectMeta {
    /// Its name.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its namespace; empty for cluster-wide resources.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// Labels.
    #[prost(map = "string, string", tag = "3")]
    #[serde(deserialize_with = "or_default")]
    pub labels: HashMap<String, String>,
    /// Annotations.
    #[prost(map = "string, string", tag = "4")]
    #[serde(deserialize_with = "or_default")]
    pub annotations: HashMap<String, String>,
    /// Who created it.
    #[prost(string, tag = "5")]
    #[serde(deserialize_with = "or_default")]
    pub created_by: String,
}

impl ObjectMeta {
    /// Reads the metadata of an object in JSON.
    pub(super) fn of_json(json: &serde_json::Value) -> Result<Self, serde_json::Error> {
        or_default(json)
    }
}

/// What a role allows. Rules never deny.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// `get`, `list`, `create`, `update`, `delete` or `*`.
    #[prost(string, repeated, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub verbs: Vec<String>,
    /// Resources as in paths, such as `checks`, or `*`.
    #[prost(string, repeated, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    pub resources: Vec<String>,
    /// Names of single resources; empty means all. `*` has no meaning here.
    #[prost(string, repeated, tag = "3")]
    #[serde(deserialize_with = "or_default")]
    pub resource_names: Vec<String>,
}

/// Rules for every namespace and for cluster-wide resources.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct ClusterRole {
    /// The rules.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub rules: Vec<Rule>,
    /// Its name.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<ObjectMeta>,
}

/// Rules for one namespace.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct Role {
    /// The rules.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub rules: Vec<Rule>,
    /// Its name and namespace.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<ObjectMeta>,
}

/// A subject of a binding.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User` or `Group`.
    #[prost(string, tag = "1")]
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// The user's or group's name, case-sensitive.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

/// The role that a binding grants.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    /// `ClusterRole` or `Role`.
    #[prost(string, tag = "1")]
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// The role's name.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

/// Grants subjects a role everywhere.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct ClusterRoleBinding {
    /// Who.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub subjects: Vec<Subject>,
    /// What.
    #[prost(message, optional, tag = "2")]
    pub role_ref: Option<RoleRef>,
    /// Its name.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<ObjectMeta>,
}

/// Grants subjects a role in one namespace.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct RoleBinding {
    /// Who.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub subjects: Vec<Subject>,
    /// What.
    #[prost(message, optional, tag = "2")]
    pub role_ref: Option<RoleRef>,
    /// Its name and namespace.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<ObjectMeta>,
}

/// A namespace.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its name.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

/// A user, without the password, which the gateway never reads.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default)]
pub struct User {
    /// The name.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub username: String,
    /// Groups.
    #[prost(string, repeated, tag = "3")]
    #[serde(deserialize_with = "or_default")]
    pub groups: Vec<String>,
    /// Whether the user may no longer log in.
    #[prost(bool, tag = "4")]
    #[serde(deserialize_with = "or_default")]
    pub disabled: bool,
}

/// Go reads `null` as nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}
