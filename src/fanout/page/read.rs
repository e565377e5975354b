use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Uri, uri::PathAndQuery};
use http_body_util::BodyExt;

use super::{cut::Cutter, events::mended_token, items::ItemError, position::After};
use crate::{
    fanout::{
        Config,
        slot::{Opening, Refusal, copy_of},
    },
    member::{Candidate, Member, body_failure},
    rewrite::{Brackets, Rewriter, validate_list},
    types::{FailureClass, Paging, Shape},
    wire::{Body, Held, header::SENSU_CONTINUE},
};

/// How members are asked for their part of a page.
pub(super) struct Reading<'a> {
    pub(super) request: &'a Request<()>,
    pub(super) shape: Shape,
    pub(super) label: bool,
    pub(super) paging: Paging,
    pub(super) config: &'a Config,
}

/// What one member is asked for.
pub(super) struct Share<'a> {
    /// What the client has of its list.
    pub(super) after: &'a After,
    /// Most items; `None` for any number.
    pub(super) items: Option<u64>,
    /// About how many bytes of them.
    pub(super) bytes: usize,
    /// Counts what is read of it.
    pub(super) held: Held,
}

/// A member's part of a page.
pub(super) struct Part {
    pub(super) items: u64,
    /// The rewritten items, without the brackets of the list.
    pub(super) bytes: Bytes,
    /// Where the member goes on, if it has more.
    pub(super) next: Option<After>,
    /// Counts the bytes until the page does.
    pub(super) held: Held,
}

/// Why there is no part.
pub(super) enum Absence {
    /// An answer that is not a list.
    Refused(Box<Refusal>),
    /// No answer, or a bad body.
    Failed(FailureClass),
}

/// What became of a list that the member has cut.
enum Whole {
    Yes(Cut),
    /// Only so many items have room.
    TooLong(u64),
}

/// Rewritten items: their number, their bytes without the brackets of the list, and where more follow.
type Cut = (u64, Bytes, Option<After>);

// === impl Reading ===

impl Reading<'_> {
    /// Asks a member for its share of the page, within its deadline.
    pub(super) async fn ask(&self, candidate: &Candidate, share: Share<'_>) -> Result<Part, Absence> {
        match candidate {
            Candidate::Skip(_, failure) => Err(Absence::Failed(*failure)),
            Candidate::Send(member) => {
                let read = tokio::time::timeout(self.config.member_timeout, self.read(&**member, share));
                read.await.unwrap_or(Err(Absence::Failed(FailureClass::Timeout)))
            }
        }
    }

    async fn read(&self, member: &dyn Member, mut share: Share<'_>) -> Result<Part, Absence> {
        let (items, bytes, next) = match self.paging {
            Paging::ByKey => self.cut(member, &mut share).await?,
            Paging::ByCluster | Paging::EventsByCluster => match self.fetch(member, &share, None).await? {
                Whole::Yes(cut) => cut,
                // Only the cluster can make a token, so it is asked for just the items that there is room for.
                Whole::TooLong(fitting) => {
                    share.held.release(usize::MAX);
                    match self.fetch(member, &share, Some(fitting)).await? {
                        Whole::Yes(cut) => cut,
                        Whole::TooLong(_) => return Err(Absence::Failed(FailureClass::TooLarge)),
                    }
                }
            },
        };
        Ok(Part { items, bytes, next, held: share.held })
    }

    /// A page that the member cuts. When it is asked for a `fitting` number of items, all of it is taken.
    async fn fetch(
        &self,
        member: &dyn Member,
        share: &Share<'_>,
        fitting: Option<u64>,
    ) -> Result<Whole, Absence> {
        let token = if let After::Token(token) = share.after { Some(token.as_str()) } else { None };
        let opened = self.open(member, fitting.or(share.items), token).await?;
        let Some((headers, mut body)) = opened else { return Ok(Whole::Yes((0, Bytes::new(), None))) };
        let mut rewriter = self.rewriter(member);
        let mut out = BytesMut::from(&b"["[..]);
        let mut read = 0;
        while let Some(data) = self.next(&mut body, &mut read).await? {
            let before = out.len();
            rewriter.push(&data, &mut out).map_err(|_| BAD_BODY)?;
            let has_room = share.held.add(out.len() - before) && out.len() <= share.bytes;
            if fitting.is_none() && !has_room && rewriter.items() > 1 {
                return Ok(Whole::TooLong(rewriter.items() - 1));
            }
        }
        rewriter.finish(&mut out).map_err(|_| BAD_BODY)?;
        let next = headers.get(SENSU_CONTINUE).map(|next| next.to_str().map_err(|_| BAD_BODY)).transpose()?;
        // A list that returns the token it was sent would have no end.
        let next = next.filter(|next| !next.is_empty() && Some(*next) != token);
        let bytes = checked(out)?;
        let next = next.map(|next| {
            match self.paging {
                Paging::EventsByCluster => mended_token(next, &bytes, member.name()),
                Paging::ByCluster | Paging::ByKey => None,
            }
            .unwrap_or_else(|| next.to_owned())
        });
        Ok(Whole::Yes((rewriter.items(), bytes, next.map(After::Token))))
    }

    /// A page that is cut here, out of the member's whole list.
    async fn cut(&self, member: &dyn Member, share: &mut Share<'_>) -> Result<Cut, Absence> {
        let after = if let After::Key(key) = share.after { Some(key.clone()) } else { None };
        let opened = self.open(member, None, None).await?;
        let Some((_, mut body)) = opened else { return Ok((0, Bytes::new(), None)) };
        let most = share.items.and_then(|items| usize::try_from(items).ok()).unwrap_or(usize::MAX);
        let mut cutter = Cutter::new(self.shape, after, most, share.bytes);
        let (mut read, mut counted) = (0, 0);
        while let Some(data) = self.next(&mut body, &mut read).await? {
            cutter.push(&data)?;
            let now = cutter.bytes();
            if now < counted {
                share.held.release(counted - now);
            } else if !share.held.add(now - counted) {
                cutter.shrink();
            }
            counted = now;
        }
        let cut = cutter.finish()?;
        let mut rewriter = self.rewriter(member);
        let mut out = BytesMut::with_capacity(counted + counted / 16);
        out.extend_from_slice(b"[");
        let items = cut.items.len() as u64;
        for (index, item) in cut.items.into_iter().enumerate() {
            let lead: &[u8] = if index == 0 { b"[" } else { b"," };
            rewriter.push(lead, &mut out).map_err(|_| BAD_BODY)?;
            rewriter.push(&item, &mut out).map_err(|_| BAD_BODY)?;
        }
        Ok((items, checked(out)?, cut.next.map(After::Key)))
    }

    /// Asks the member; `None` for a list that is empty because its reader may see nothing.
    async fn open(
        &self,
        member: &dyn Member,
        limit: Option<u64>,
        token: Option<&str>,
    ) -> Result<Option<(HeaderMap, Body)>, Absence> {
        let mut request = copy_of(self.request);
        *request.uri_mut() = paged(self.request.uri(), limit, token)?;
        let response = member.send(request).await.map_err(Absence::Failed)?;
        match Opening::of(response, self.shape).await {
            Opening::List(headers, body) => Ok(Some((headers, body))),
            Opening::Nothing => Ok(None),
            Opening::Refused(refusal) => Err(Absence::Refused(Box::new(refusal))),
            Opening::Failed(failure) => Err(Absence::Failed(failure)),
        }
    }

    /// The next data of a body.
    async fn next(&self, body: &mut Body, read: &mut u64) -> Result<Option<Bytes>, Absence> {
        loop {
            let Some(frame) = body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| Absence::Failed(body_failure(&*error)))?;
            let Ok(data) = frame.into_data() else { continue };
            *read += data.len() as u64;
            if *read > self.config.max_member_bytes {
                return Err(Absence::Failed(FailureClass::TooLarge));
            }
            return Ok(Some(data));
        }
    }

    fn rewriter(&self, member: &dyn Member) -> Rewriter {
        let name = member.name();
        let qualify = (!name.is_local()).then_some(name);
        Rewriter::new(self.shape, self.label.then_some(name), qualify, Brackets::Strip)
    }
}

/// The target with the member's part of the page.
fn paged(uri: &Uri, limit: Option<u64>, token: Option<&str>) -> Result<Uri, Absence> {
    let mut target = uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    let mut add = |key: &str, value: &str| {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(key);
        target.push_str(value);
    };
    if let Some(limit) = limit {
        // Sensu takes a larger number for none.
        add("limit=", &limit.min(i64::MAX as u64).to_string());
    }
    if let Some(token) = token {
        add("continue=", &percent_encoding::utf8_percent_encode(token, TOKEN).to_string());
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.try_into().map_err(|_| BAD_BODY)?);
    Uri::from_parts(parts).map_err(|_| BAD_BODY)
}

/// A list without its closing bracket, checked to the last byte; its items alone.
fn checked(mut list: BytesMut) -> Result<Bytes, Absence> {
    list.extend_from_slice(b"]");
    validate_list(&list).map_err(|_| BAD_BODY)?;
    let list = list.freeze();
    Ok(list.slice(1..list.len() - 1))
}

// === impl Absence ===

impl From<ItemError> for Absence {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::Scan(_) => BAD_BODY,
            ItemError::TooLarge => Self::Failed(FailureClass::TooLarge),
        }
    }
}

const BAD_BODY: Absence = Absence::Failed(FailureClass::BadBody);

/// What a token of a cluster may hold without being taken for something else in a query.
const TOKEN: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
