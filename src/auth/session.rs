//! Renewing a session in the place of the cluster that issued it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    AuthError, KeyError, SigningKey, Verifier,
    verify::{Claims, object},
};

/// A session whose tokens have been judged, and that may be renewed.
pub struct Session {
    subject: String,
    /// The claims of its access token as they were written.
    claims: String,
    /// Where in them the end stands.
    end: std::ops::Range<usize>,
}

/// The claims of either token that the two have in common.
#[derive(Deserialize)]
struct Common<'a> {
    #[serde(borrow)]
    exp: &'a RawValue,
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    provider: Option<Provider>,
}

#[derive(Default, Deserialize)]
struct Provider {
    #[serde(default)]
    provider_type: Option<String>,
}

// === impl Session ===

impl Session {
    /// Judges the tokens of one session as Sensu does when it renews it, as far as its store is not needed for that: both
    /// are well signed, the refresh token is valid, and the access token may have expired. Here they must also be of one
    /// session, as those of every honest client are, and Sensu must have renewed it within `longest`.
    ///
    /// That last time is when the refresh token was issued, which no renewal in Sensu's place changes. An access token has
    /// none, so it cannot stand in for the refresh token.
    pub(super) fn judge(
        verifier: &Verifier,
        access: &str,
        refresh: &str,
        now: i64,
        longest: Duration,
    ) -> Result<Self, AuthError> {
        let (access, refresh) = (verifier.payload(access)?, verifier.payload(refresh)?);
        let [access_claims, refresh_claims] = [Claims::read(&access)?, Claims::read(&refresh)?];
        access_claims.check_begun(now)?;
        refresh_claims.check_begun(now)?;
        refresh_claims.check_end(now)?;
        let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
        let issued = refresh_claims.iat.ok_or(AuthError::Claims)?;
        let ended = access_claims.exp.ok_or(AuthError::Claims)?;
        if now.saturating_sub(issued) > longest || now.saturating_sub(ended) > longest {
            return Err(AuthError::Expired);
        }
        let subject = access_claims.sub.unwrap_or_default();
        let access_text = String::from_utf8(access).map_err(|_| AuthError::Claims)?;
        let of_access: Common<'_> = object(access_text.as_bytes()).ok_or(AuthError::Claims)?;
        let of_refresh: Common<'_> = object(&refresh).ok_or(AuthError::Claims)?;
        let same = refresh_claims.sub.as_deref() == Some(&subject)
            && of_access.session_id == of_refresh.session_id
            && of_access.session_id.as_ref().is_some_and(|id| !id.is_empty());
        // Sensu sends these elsewhere, to be renewed by who issued them.
        let foreign = of_access.provider.and_then(|p| p.provider_type).is_some_and(|kind| kind == "oidc");
        if subject.is_empty() || !same || foreign {
            return Err(AuthError::Claims);
        }
        let end = of_access.exp.get();
        let start = end.as_ptr().addr() - access_text.as_ptr().addr();
        let end = start..start + end.len();
        Ok(Self { subject, claims: access_text, end })
    }

    /// Whose it is.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// An access token with the same claims and another end, in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`KeyError::Sign`] when the random source fails.
    pub fn renew(&self, key: &SigningKey, exp: i64) -> Result<String, KeyError> {
        let mut claims = self.claims.clone();
        claims.replace_range(self.end.clone(), &exp.to_string());
        key.mint_payload(claims.as_bytes())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("subject", &self.subject).finish_non_exhaustive()
    }
}
