use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// What a span is known by across processes (W3C Trace Context, level 1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace, never zero.
    pub trace_id: [u8; 16],
    /// The span, never zero.
    pub span_id: [u8; 8],
    /// Whether it is recorded.
    pub sampled: bool,
}

// === impl SpanContext ===

impl SpanContext {
    /// Reads `traceparent`; `None` when it is missing, there twice or malformed, which all mean a new trace.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value.as_bytes())
    }

    /// Reads the value of a `traceparent`. Of versions to come, what they share with this one is read.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let [version] = hex(known.get(..2)?)?;
        let dashes = [2, 35, 52].into_iter().all(|at| known[at] == b'-');
        let complete = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
        if version == 0xff || !dashes || !complete {
            return None;
        }
        let trace_id = hex(known.get(3..35)?)?;
        let span_id = hex(known.get(36..52)?)?;
        let [flags] = hex(known.get(53..55)?)?;
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self {
            trace_id,
            span_id,
            sampled: flags & SAMPLED != 0,
        })
    }

    /// As the value of a `traceparent`.
    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string()).expect("digits and dashes are valid in a header")
    }

    /// A new span of the same trace.
    pub(super) fn child(self) -> Self {
        Self { span_id: new_span_id(), ..self }
    }

    /// A span of a new trace.
    pub(super) fn new(sampled: bool) -> Self {
        Self { trace_id: fastrand::u128(1..).to_be_bytes(), span_id: new_span_id(), sampled }
    }

    /// A number that is the same for all spans of a trace, evenly spread over 0 to 1.
    pub(super) fn share(self) -> f64 {
        let [.., a, b, c, d] = self.trace_id;
        f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
    }
}

impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = u128::from_be_bytes(self.trace_id);
        let span = u64::from_be_bytes(self.span_id);
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.sampled))
    }
}

impl fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `tracestate` may be passed on: at most 32 members and 512 printable characters, all lines together.
pub(super) fn is_state_valid(headers: &HeaderMap) -> bool {
    let (mut members, mut length) = (0, 0);
    for value in headers.get_all(TRACESTATE) {
        let Ok(text) = value.to_str() else { return false };
        length += text.len() + 1;
        for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            members += 1;
            let Some((key, value)) = member.split_once('=') else { return false };
            let is_key = |c: char| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '*' | '/' | '@')
            };
            if key.is_empty() || !key.chars().all(is_key) || value.is_empty() || value.contains('=') {
                return false;
            }
        }
    }
    members <= MAX_MEMBERS && length <= MAX_STATE + 1
}

fn new_span_id() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}

/// Lower case only, as the specification has it.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Where a trace comes from and goes to.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What tracing systems add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const LENGTH: usize = 55;
const SAMPLED: u8 = 1;
const MAX_MEMBERS: usize = 32;
const MAX_STATE: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_specification_has_it() {
        let context = SpanContext::parse(GOOD.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!(context.to_string(), GOOD);
        let unsampled = SpanContext::parse(GOOD.replace("-01", "-fe").as_bytes()).unwrap();
        assert!(!unsampled.sampled, "other flags mean nothing here");
        // A version to come may say more, after another dash.
        for good in [GOOD.replacen("00", "cc", 1), format!("{}-what", GOOD.replacen("00", "01", 1))] {
            assert!(SpanContext::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD}0"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0", 1),
            format!("{}.what", GOOD.replacen("00", "01", 1)),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("b7-01", "b7-0x"),
        ] {
            assert_eq!(SpanContext::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn two_traceparents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(SpanContext::read(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(SpanContext::read(&headers), None);
    }

    #[test]
    fn a_tracestate_is_bounded() {
        let valid = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACESTATE, HeaderValue::from_str(value).unwrap());
            }
            is_state_valid(&headers)
        };
        assert!(valid(&[]) && valid(&["a=1,t@v=2 3", " ,b=x"]));
        assert!(valid(&["a=1"; 32]) && !valid(&["a=1"; 33]));
        let long = format!("a={}", "x".repeat(510));
        assert!(valid(&[&long]) && !valid(&[&long, "b=1"]));
        for bad in ["a", "=1", "A=1", "a=", "a=1=2"] {
            assert!(!valid(&[bad]), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_is_read_is_written_alike(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..70),
                "0[0-1]-[0-9a-f]{32}-[0-9a-f]{16}-0[01](-x)?".prop_map(String::into_bytes),
            ]
        ) {
            if let Some(context) = SpanContext::parse(&bytes) {
                prop_assert_eq!(SpanContext::parse(context.to_string().as_bytes()), Some(context));
                prop_assert!((0.0..1.0).contains(&context.share()));
                prop_assert_eq!(context.child().trace_id, context.trace_id);
            }
        }
    }
}
