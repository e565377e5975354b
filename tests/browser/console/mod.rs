//! The console, as its users see it.

mod actions;
mod clusters;
mod desk;
mod events;
mod hostile;
mod kept;
mod keys;
mod layout;
mod many;
mod overview;
mod polling;
mod real;
mod session;
mod shifting;
mod shots;
mod truth;
mod wall;

use std::path::Path;

use serde_json::{Value, json};

use self::desk::{Desk, PASSWORD, is_of_network};
use crate::world::World;

/// Three clusters with the same data, and a gateway that finds out soon what has become of them.
async fn world() -> World {
    World::with(&crate::world::CLUSTERS, Path::new(""), &quick()).await
}

/// A loaded machine may be late once or twice without anything being down.
fn quick() -> Value {
    json!({
        "upstream": {"health": {"interval": "1s", "timeout": "1s", "unhealthy-after": 4, "healthy-after": 1}},
        "fan-out": {"member-timeout": "10s"},
    })
}

/// What hangs is given up soon.
fn impatient() -> Value {
    json!({
        "upstream": {"health": {"interval": "1s", "timeout": "1s", "unhealthy-after": 1, "healthy-after": 1}},
        "fan-out": {"member-timeout": "2s"},
    })
}

/// Gives an event to a cluster.
#[track_caller]
fn put_event(world: &World, cluster: usize, event: &Value) {
    let name = |of: &str| event[of]["metadata"]["name"].as_str().unwrap();
    let namespace = event["metadata"]["namespace"].as_str().unwrap();
    world.put(cluster, &format!("namespaces/{namespace}/events/{}/{}", name("entity"), name("check")), event);
}

/// An event as an agent sends it.
fn event(namespace: &str, entity: &str, check: &str, status: u8, output: &str) -> Value {
    let named = |name: &str| json!({"name": name, "namespace": namespace});
    json!({
        "metadata": {"namespace": namespace},
        "entity": {"entity_class": "proxy", "metadata": named(entity)},
        "check": {"metadata": named(check), "status": status, "output": output, "interval": 60},
    })
}
