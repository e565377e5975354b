use http::{HeaderMap, HeaderValue, header};

use super::AuthError;

/// What the `Authorization` header of a request holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// No header.
    None,
    /// `Bearer`: the token, not yet judged.
    Bearer(&'a str),
    /// `Key` and a name; the name stays in the header.
    ApiKey,
    /// `Basic`, which only `/auth` understands.
    Basic,
    /// Any other scheme, `bearer` in lower case and an empty header included.
    Other,
}

/// Reads the `Authorization` header as Sensu does: schemes in exact case, followed by one space.
///
/// # Errors
///
/// [`AuthError::Duplicate`] for two headers, [`AuthError::EmptyApiKey`] and [`AuthError::Malformed`] for a
/// `Key` or `Bearer` header that cannot name anything.
pub fn credentials(headers: &HeaderMap) -> Result<Credentials<'_>, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Credentials::None) };
    if values.next().is_some() {
        return Err(AuthError::Duplicate);
    }
    parse(value)
}

fn parse(value: &HeaderValue) -> Result<Credentials<'_>, AuthError> {
    let bytes = value.as_bytes();
    if let Some(token) = bytes.strip_prefix(BEARER) {
        // An HTTP/1 parser has already dropped trailing white space; over HTTP/2 it can still be here.
        let token = std::str::from_utf8(token.trim_ascii_end()).map_err(|_| AuthError::Malformed)?;
        return Ok(Credentials::Bearer(token));
    }
    if let Some(name) = bytes.strip_prefix(KEY) {
        return if name.trim_ascii().is_empty() {
            Err(AuthError::EmptyApiKey)
        } else {
            Ok(Credentials::ApiKey)
        };
    }
    Ok(if bytes.starts_with(BASIC) { Credentials::Basic } else { Credentials::Other })
}

// === impl Credentials ===

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer",
            Self::ApiKey => "ApiKey",
            Self::Basic => "Basic",
            Self::Other => "Other",
        })
    }
}

const BEARER: &[u8] = b"Bearer ";
const KEY: &[u8] = b"Key ";
const BASIC: &[u8] = b"Basic ";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static [u8]) -> Result<Credentials<'static>, AuthError> {
        let value = Box::leak(Box::new(HeaderValue::from_bytes(value).unwrap()));
        parse(value)
    }

    #[test]
    fn schemes_are_case_sensitive_and_end_with_one_space() {
        assert_eq!(read(b"Bearer a.b.c"), Ok(Credentials::Bearer("a.b.c")));
        assert_eq!(read(b"Bearer  a.b.c"), Ok(Credentials::Bearer(" a.b.c")));
        assert_eq!(read(b"Bearer a.b.c \t"), Ok(Credentials::Bearer("a.b.c")));
        assert_eq!(read(b"Bearer "), Ok(Credentials::Bearer("")));
        assert_eq!(read(b"Key 1-2"), Ok(Credentials::ApiKey));
        assert_eq!(read(b"Basic YTpi"), Ok(Credentials::Basic));
        for other in [&b"bearer a.b.c"[..], b"Bearer", b"Bearer\ta", b"key x", b"Key", b"Digest x", b"", b" "]
        {
            assert_eq!(read(other), Ok(Credentials::Other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn headers_that_can_name_nothing_are_refused() {
        assert_eq!(read(b"Key "), Err(AuthError::EmptyApiKey));
        assert_eq!(read(b"Key   "), Err(AuthError::EmptyApiKey));
        assert_eq!(read(b"Bearer \xff"), Err(AuthError::Malformed));
    }

    #[test]
    fn two_authorization_headers_are_refused_even_when_equal() {
        let mut headers = HeaderMap::new();
        assert_eq!(credentials(&headers), Ok(Credentials::None));
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert_eq!(credentials(&headers), Ok(Credentials::Bearer("a")));
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert_eq!(credentials(&headers), Err(AuthError::Duplicate));
    }

    #[test]
    fn debug_output_holds_no_token() {
        assert_eq!(format!("{:?}", read(b"Bearer secret").unwrap()), "Bearer");
    }
}
