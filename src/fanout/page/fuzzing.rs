//! The properties that [`crate::fanout::fuzzing`] checks.

use super::{
    cut::{Cut, Cutter, key_of},
    position::Position,
};
use crate::types::Shape;

/// Whatever a token holds is read back as it is written, or refused.
pub(in crate::fanout) fn positions(data: &[u8]) {
    if let Some(position) = Position::from_bytes(data) {
        assert_eq!(position.to_bytes(), data, "there is one spelling of each position");
    }
}

/// Pages of a list, cut as the first byte says, hold together what one page of everything holds, wherever its chunks end.
pub(in crate::fanout) fn pages(data: &[u8]) {
    let Some((settings, list)) = data.split_first() else { return };
    let shape = if settings & 1 == 0 { Shape::Resource } else { Shape::Namespace };
    let (most, chunk) = (usize::from(settings >> 1 & 3) + 1, usize::from(settings >> 3) + 1);
    let page = |after, most, bytes, chunk| -> Option<Cut> {
        let mut cutter = Cutter::new(shape, after, most, bytes);
        for chunk in list.chunks(chunk) {
            cutter.push(chunk).ok()?;
        }
        cutter.finish().ok()
    };
    let whole = page(None, usize::MAX, usize::MAX, list.len().max(1));
    let first = page(None, most, usize::MAX, chunk);
    assert_eq!(whole.is_some(), first.is_some(), "chunks and pages make no difference");
    let (Some(whole), Some(mut cut)) = (whole, first) else { return };
    assert!(whole.next.is_none() && whole.items.len() <= list.len());
    let mut paged = Vec::new();
    loop {
        assert!(cut.items.len() <= most);
        assert!(!cut.items.is_empty() || cut.next.is_none(), "a page that is not the last one has items");
        paged.append(&mut cut.items);
        let Some(after) = cut.next else { break };
        let bytes = if paged.len() % 2 == 0 { usize::MAX } else { 40 };
        cut = page(Some(after), most, bytes, chunk).expect("the list is as good as it was");
    }
    let keys: Vec<_> = whole.items.iter().map(|item| key_of(shape, item).ok()).collect();
    assert!(keys.is_sorted());
    if keys.windows(2).all(|pair| pair[0] != pair[1]) {
        assert_eq!(paged, whole.items);
    }
}
