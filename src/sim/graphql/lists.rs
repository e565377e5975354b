//! The lists of a namespace, cut into pages.

use serde_json::{Value, json};

use super::{
    filters,
    inputs::Values,
    out::{Node, Out},
    records::{self, Record},
    session::{Refusal, Row, Session},
};
use crate::sim::json::{int, text};

pub(super) const FIELDS: &[Row] = &[
    ("Namespace", "checks", |s, node, args| by_name(s, node, args, &records::CHECKS)),
    ("Namespace", "eventFilters", |s, node, args| by_name(s, node, args, &records::FILTERS)),
    ("Namespace", "handlers", |s, node, args| by_name(s, node, args, &records::HANDLERS)),
    ("Namespace", "mutators", |s, node, args| by_name(s, node, args, &records::MUTATORS)),
    ("Namespace", "silences", |s, node, args| {
        let mut silences = s.load(&records::SILENCES, node.name())?.to_vec();
        filters::keep(&mut silences, "Silenced", args)?;
        filters::sort_silences(&mut silences, text(args, &["orderBy"]));
        Ok(page("SilencedConnection", &silences, args))
    }),
    ("Namespace", "events", |s, node, args| {
        let mut events = s.list(&records::EVENTS, node.name()).map_err(Refusal::text)?.to_vec();
        filters::keep(&mut events, "Event", args)?;
        filters::sort_events(&mut events, text(args, &["orderBy"]));
        Ok(page("EventConnection", &events, args))
    }),
    ("Namespace", "entities", entities),
];

fn by_name(s: &mut Session<'_>, node: &Node, args: &Values, record: &'static Record) -> Result<Out, String> {
    let mut nodes = s.load(record, node.name())?.to_vec();
    filters::keep(&mut nodes, record.ty, args)?;
    filters::sort_by_name(&mut nodes, text(args, &["orderBy"]) == "NAME");
    let connection = match record.ty {
        "CheckConfig" => "CheckConfigConnection",
        "EventFilter" => "EventFilterConnection",
        "Handler" => "HandlerConnection",
        _ => "MutatorConnection",
    };
    Ok(page(connection, &nodes, args))
}

fn page(connection: &'static str, nodes: &[Node], args: &Values) -> Out {
    let (offset, limit) = (int(args, "offset"), int(args, "limit"));
    let clamp = |at: i64, low: usize| usize::try_from(at).unwrap_or_default().clamp(low, nodes.len());
    let low = clamp(offset, 0);
    let high = clamp(offset.saturating_add(limit), low);
    let info = page_info(offset, limit, nodes.len(), false);
    self::connection(connection, nodes[low..high].to_vec(), info)
}

fn connection(ty: &'static str, nodes: Vec<Node>, info: Value) -> Out {
    Out::Node(Node::made(ty, vec![("nodes", Out::nodes(nodes)), ("pageInfo", Out::Value(info))]))
}

/// Where there is no next or previous page, its offset is 0.
fn page_info(offset: i64, limit: i64, total: usize, partial: bool) -> Value {
    let total = i64::try_from(total).unwrap_or(i64::MAX);
    let next = offset.saturating_add(limit);
    json!({
        "hasNextPage": next < total,
        "hasPreviousPage": offset > 0,
        "nextOffset": if next < total { next } else { 0 },
        "previousOffset": if offset > 0 { offset.saturating_sub(limit).clamp(0, i32::MAX.into()) } else { 0 },
        "totalCount": total,
        "partialCount": partial,
    })
}

/// Entities are read in chunks, and counted no further than it takes to fill the page and pass a bound.
fn entities(s: &mut Session<'_>, node: &Node, args: &Values) -> Result<Out, String> {
    let (offset, limit) = (int(args, "offset"), int(args, "limit"));
    let Ok(wanted) = usize::try_from(limit) else {
        return Err("runtime error: makeslice: cap out of range".into());
    };
    let mut all = s.list(&records::ENTITIES, node.name()).map_err(Refusal::text)?.to_vec();
    if text(args, &["orderBy"]) != "ID" {
        all.reverse();
    }
    let skipped = usize::try_from(offset).unwrap_or_default();
    let (mut matches, mut shown, mut read) = (0_usize, Vec::new(), 0);
    for chunk in all.chunks(wanted.clamp(SMALLEST_CHUNK, LARGEST_CHUNK)) {
        read += chunk.len();
        let mut chunk = chunk.to_vec();
        filters::keep(&mut chunk, "Entity", args)?;
        for entity in chunk {
            matches += 1;
            if matches > skipped && shown.len() < wanted {
                shown.push(entity);
            }
        }
        if matches.saturating_sub(skipped) >= wanted && matches >= COUNTED_ENTITIES {
            break;
        }
    }
    if all.is_empty() {
        filters::keep(&mut Vec::new(), "Entity", args)?;
    }
    let info = page_info(offset, limit, matches, read < all.len());
    Ok(connection("EntityConnection", shown, info))
}

const SMALLEST_CHUNK: usize = 250;
const LARGEST_CHUNK: usize = 500;
const COUNTED_ENTITIES: usize = 500;
