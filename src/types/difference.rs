use std::{sync::Arc, time::Duration};

use serde_json::Value;

/// What a replicator would do, found by looking at both sides once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Whether the replicator itself only reports.
    pub dry_run: bool,
    /// Each place that it copies to, by name.
    pub places: Vec<PlaceComparison>,
    /// How long it took.
    pub took: Duration,
}

/// The same in one place: a cluster, or the etcd of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlaceComparison {
    /// The name of the cluster, or the URL of the etcd.
    pub name: Arc<str>,
    /// Why not everything was compared.
    pub error: Option<Arc<str>>,
    /// The first of them, in the order in which they would be written.
    pub differences: Vec<Difference>,
    /// All of them.
    pub counts: DifferenceCounts,
    /// What is worth knowing and makes no difference.
    pub warnings: Vec<String>,
    /// How many objects of the source it should hold.
    pub compared: u64,
    /// How long it took.
    pub took: Duration,
}

/// One object that is not as the source has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its Sensu type, such as `Role`.
    pub kind: &'static str,
    /// Empty for what belongs to none.
    pub namespace: String,
    /// Its name, unless that is a secret.
    pub name: String,
    /// What would be done.
    pub action: DifferenceAction,
    /// Why, or why not.
    pub why: String,
    /// In what it differs, where both sides have it.
    pub fields: Vec<FieldDifference>,
}

/// What would be done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceAction {
    /// It would be created.
    Create,
    /// It would be changed.
    Update,
    /// It would be deleted.
    Delete,
    /// Nothing: what is there is not the federation's.
    Conflict,
    /// Nothing: copying it would do harm, or cannot be done.
    Blocked,
}

/// A field in which two objects differ.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldDifference {
    /// Where, such as `rules[0].verbs`.
    pub path: String,
    /// What the source and the copy have there, null for nothing; `None` where values may be secrets.
    pub values: Option<(Value, Value)>,
}

/// How many differences there are, by what would be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DifferenceCounts([u64; 5]);

// === impl Comparison ===

impl Comparison {
    /// Whether everything was compared.
    pub fn is_complete(&self) -> bool {
        self.places.iter().all(|place| place.error.is_none())
    }

    /// Whether nothing of what was compared differs.
    pub fn is_equal(&self) -> bool {
        self.places.iter().all(|place| place.counts.total() == 0)
    }
}

// === impl PlaceComparison ===

impl PlaceComparison {
    /// One of which nothing is known.
    pub fn unknown(name: impl Into<Arc<str>>, why: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), error: Some(why.into()), ..Self::default() }
    }

    /// Adds a difference. `fields` is asked for only if it is going to be shown.
    pub fn add(&mut self, difference: Difference, fields: impl FnOnce() -> Vec<FieldDifference>) {
        self.counts.0[difference.action as usize] += 1;
        if self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(Difference { fields: fields(), ..difference });
        }
    }

    /// Adds something that is worth knowing, up to a bound.
    pub fn warn(&mut self, text: String) {
        match self.warnings.len() {
            0..MAX_WARNINGS => self.warnings.push(text),
            MAX_WARNINGS => self.warnings.push("there are more warnings".to_owned()),
            _ => {}
        }
    }
}

// === impl DifferenceAction ===

impl DifferenceAction {
    /// Each, as it is written.
    pub const ALL: [(&str, Self); 5] = [
        ("create", Self::Create),
        ("update", Self::Update),
        ("delete", Self::Delete),
        ("conflict", Self::Conflict),
        ("blocked", Self::Blocked),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

// === impl DifferenceCounts ===

impl DifferenceCounts {
    /// How many there are of one.
    pub fn of(&self, action: DifferenceAction) -> u64 {
        self.0[action as usize]
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Most differences of one place that are shown: some hundred bytes each.
pub const MAX_DIFFERENCES: usize = 1000;

const MAX_WARNINGS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_counted_and_only_the_first_are_shown() {
        let mut place = PlaceComparison::default();
        for (index, (text, action)) in DifferenceAction::ALL.into_iter().cycle().take(2000).enumerate() {
            assert_eq!(action.as_str(), text);
            let difference = Difference {
                kind: "Role",
                namespace: "n".to_owned(),
                name: index.to_string(),
                action,
                why: String::new(),
                fields: Vec::new(),
            };
            let mut is_asked = false;
            place.add(difference, || {
                is_asked = true;
                Vec::new()
            });
            assert_eq!(is_asked, index < MAX_DIFFERENCES);
            place.warn(index.to_string());
        }
        assert_eq!((place.counts.total(), place.counts.of(DifferenceAction::Conflict)), (2000, 400));
        assert_eq!((place.differences.len(), place.warnings.len()), (MAX_DIFFERENCES, MAX_WARNINGS + 1));
        let comparison = Comparison { places: vec![place], ..Comparison::default() };
        assert!(comparison.is_complete() && !comparison.is_equal());
        let away = Comparison { places: vec![PlaceComparison::unknown("a", "away")], ..comparison };
        assert!(!away.is_complete() && away.is_equal());
    }
}
