//! From the configuration's sections to what each module obeys.

use crate::{auth, config::Root, fanout, listener, proxy::Settings, upstream};

pub(super) fn auth(root: &Root) -> auth::Config {
    auth::Config {
        jwt_public_key_files: root.auth.jwt_public_key_files.clone(),
        token_cache_entries: root.auth.token_cache.entries,
    }
}

pub(super) fn listener(root: &Root) -> listener::Config {
    listener::Config {
        streams: root.limits.streams,
        headers: root.limits.headers,
        head_bytes: root.limits.head_bytes,
        head_timeout: root.limits.head_timeout,
    }
}

pub(super) fn upstream(root: &Root) -> upstream::Config {
    let from = &root.upstream;
    upstream::Config {
        connect_timeout: from.connect_timeout,
        head_timeout: from.head_timeout,
        idle_body_timeout: from.idle_body_timeout,
        idle_connection_timeout: from.idle_connection_timeout,
        max_idle_connections: from.max_idle_connections,
        retries: from.retries as usize,
        ..upstream::Config::default()
    }
}

pub(super) fn gateway(root: &Root) -> Settings {
    let fan_out = &root.fan_out;
    Settings {
        default_scope: fan_out.default_scope,
        fan_out: fanout::Config {
            member_timeout: fan_out.member_timeout,
            timeout: fan_out.timeout,
            buffer_bytes: fan_out.buffer_bytes,
            read_ahead_bytes: fan_out.read_ahead_bytes,
            max_member_bytes: fan_out.max_member_bytes,
        },
        max_members: fan_out.max_members,
        max_request_body: root.limits.request_body_bytes,
        max_headers: root.limits.headers,
        trusted_proxies: root.listen.trusted_proxies.clone(),
    }
}

pub(super) fn health(root: &Root) -> upstream::HealthConfig {
    let from = &root.upstream.health;
    upstream::HealthConfig {
        interval: from.interval,
        timeout: from.timeout,
        unhealthy_after: from.unhealthy_after,
        healthy_after: from.healthy_after,
    }
}
