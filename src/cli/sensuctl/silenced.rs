//! Silences by what they silence: `silenced delete --subscription linux --check cpu`.

use std::{collections::VecDeque, ffi::OsString};

/// Puts a name, or for a list a selector, in place of the options that name a subscription and a check.
pub(super) fn arrange(verb: &str, rest: &mut VecDeque<OsString>) {
    let (mut subscription, mut check) = (None, None);
    let mut others = VecDeque::new();
    while let Some(next) = rest.pop_front() {
        if next == "--" {
            others.push_back(next);
            others.append(rest);
            break;
        }
        let text = next.to_str().unwrap_or_default().to_owned();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), None),
        };
        let place = match name {
            "-s" | "--subscription" => &mut subscription,
            "-c" | "--check" => &mut check,
            _ => {
                others.push_back(next);
                continue;
            }
        };
        *place = value.or_else(|| rest.pop_front().and_then(|value| value.into_string().ok()));
    }
    *rest = others;
    if subscription.is_none() && check.is_none() {
        return;
    }
    if verb != "list" {
        let half =
            |half: Option<String>| half.filter(|half| !half.is_empty()).unwrap_or_else(|| "*".to_owned());
        rest.push_front(format!("{}:{}", half(subscription), half(check)).into());
        return;
    }
    for (field, value) in [("check", check), ("subscription", subscription)] {
        if let Some(value) = value {
            let value = serde_json::Value::from(value);
            rest.push_front(format!("--field-selector=silenced.{field} == {value}").into());
        }
    }
}
