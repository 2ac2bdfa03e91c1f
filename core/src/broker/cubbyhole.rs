//! Keeps what a token keeps for itself: it is opened by the token's text, and gone when the token ends.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Request};
use crate::access::cubbyhole::{Closed, Cubbyhole};
use crate::access::token::TokenKind;
use crate::audit::Answer;
use crate::limits::{CUBBYHOLE_BYTES_MAX, CUBBYHOLE_PATHS_MAX};
use crate::secret::SecretText;
use crate::store::tokens::{TokenKey, cubbyhole_at, token_at};
use crate::store::{Batch, Key, Revision, StoreError, Value};
use serde_json::value::{RawValue, to_raw_value};
use std::fmt;
use std::sync::Arc;

/// What a token keeps at one path.
pub struct Kept(pub Box<RawValue>);

/// Nothing was kept, or nothing is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CubbyholeError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// Nothing is there.
    #[error("nothing is there")]
    Empty,
    /// What is to be kept cannot be.
    #[error("{0}")]
    Bad(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for Kept {
    fn recorded(&self) -> Answer {
        Answer::theirs(serde_json::from_str(self.0.get()).ok())
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept(..)")
    }
}

impl Broker {
    /// Shows what the caller's token keeps at a path.
    pub async fn read_cubbyhole(
        self: &Arc<Self>,
        request: &Request,
        path: &str,
    ) -> Result<Kept, CubbyholeError> {
        self.served(request, async |caller: Caller| {
            let (open, _) = self.own_cubbyhole(request, &caller).await?;
            open.read(path).map(|content| Kept(content.to_owned())).ok_or(CubbyholeError::Empty)
        })
        .await
    }

    /// Lists what it keeps directly in a folder, which is empty or ends in `/`.
    pub async fn list_cubbyhole(
        self: &Arc<Self>,
        request: &Request,
        folder: &str,
    ) -> Result<Vec<String>, CubbyholeError> {
        self.served(request, async |caller: Caller| {
            let (open, _) = self.own_cubbyhole(request, &caller).await?;
            let names = open.list(folder);
            if names.is_empty() { Err(CubbyholeError::Empty) } else { Ok(names) }
        })
        .await
    }

    /// Keeps something at a path, in place of what was there.
    pub async fn write_cubbyhole(
        self: &Arc<Self>,
        request: &Request,
        path: &str,
        content: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), CubbyholeError> {
        self.change_cubbyhole(request, |open| {
            let content = to_raw_value(content).map_err(|_| CubbyholeError::Empty)?;
            open.write(path.to_owned(), content);
            Ok(())
        })
        .await
    }

    /// Drops what is at a path.
    pub async fn delete_cubbyhole(
        self: &Arc<Self>,
        request: &Request,
        path: &str,
    ) -> Result<(), CubbyholeError> {
        self.change_cubbyhole(request, |open| {
            open.delete(path);
            Ok(())
        })
        .await
    }

    async fn own_cubbyhole(
        &self,
        request: &Request,
        caller: &Caller,
    ) -> Result<(Cubbyhole, Option<Revision>), CubbyholeError> {
        let text = text_of_keeper(request, caller)?;
        Ok(self.open_cubbyhole(&caller.token.record.key, text).await?)
    }

    async fn change_cubbyhole(
        self: &Arc<Self>,
        request: &Request,
        change: impl Fn(&mut Cubbyhole) -> Result<(), CubbyholeError>,
    ) -> Result<(), CubbyholeError> {
        self.written(request, async |caller: Caller| {
            let text = text_of_keeper(request, &caller)?;
            let key = &caller.token.record.key;
            let token = self.records.token(key).await?.ok_or(AdmitError::BadToken)?;
            if !token.record.is_held(self.clock.now()) {
                return Err(AdmitError::BadToken.into());
            }
            let (mut open, was) = self.open_cubbyhole(key, text).await?;
            let before = open.size();
            change(&mut open)?;
            refuse_growth_past_bounds(before, open.size())?;
            let at = cubbyhole_at(key);
            // What a token keeps is gone with it, so nothing is kept for one that has ended.
            let batch = caller.rights.expected(Batch::default());
            let batch = batch
                .expect(token_at(key), Some(token.revision))
                .expect(at.clone(), was)
                .put(at.clone(), self.close_cubbyhole(&open, text, &at)?);
            self.records.commit(batch).await?;
            Ok(())
        })
        .await
    }

    /// Opens what a token keeps; an empty one if it keeps nothing.
    pub(super) async fn open_cubbyhole(
        &self,
        key: &TokenKey,
        text: &SecretText,
    ) -> Result<(Cubbyhole, Option<Revision>), StoreError> {
        let at = cubbyhole_at(key);
        let Some(found) = self.records.read::<Closed>(&at).await? else {
            return Ok((Cubbyhole::default(), None));
        };
        let open = Cubbyhole::open(&found.record, text, &at);
        Ok((open.map_err(|_| damaged())?, Some(found.revision)))
    }

    /// Returns the value that keeps it at its place.
    pub(super) fn close_cubbyhole(
        &self,
        open: &Cubbyhole,
        text: &SecretText,
        at: &Key,
    ) -> Result<Value, StoreError> {
        let closed = open.close(text, at, &*self.chance).map_err(|_| damaged())?;
        self.records.seal(at, &closed)
    }
}

/// Returns the text of the caller's token, if it is one that can keep something.
fn text_of_keeper<'a>(
    request: &'a Request,
    caller: &Caller,
) -> Result<&'a SecretText, CubbyholeError> {
    match caller.token.record.kind {
        TokenKind::Service => Ok(request.token.as_ref().ok_or(AdmitError::BadToken)?),
        TokenKind::Batch => Err(CubbyholeError::Bad(
            "cubbyhole operations are only supported by 'service' type tokens".into(),
        )),
    }
}

fn damaged() -> StoreError {
    StoreError::Refused("what the token keeps for itself is damaged".into())
}

/// What has grown too large by another's bounds can still be made smaller.
fn refuse_growth_past_bounds(
    before: (usize, usize),
    after: (usize, usize),
) -> Result<(), CubbyholeError> {
    let bad = |message: String| Err(CubbyholeError::Bad(message));
    if after.0 > CUBBYHOLE_PATHS_MAX && after.0 > before.0 {
        return bad(format!("a token may keep at most {CUBBYHOLE_PATHS_MAX} paths; delete some"));
    }
    if after.1 > CUBBYHOLE_BYTES_MAX && after.1 > before.1 {
        return bad(format!(
            "a token may keep at most {CUBBYHOLE_BYTES_MAX} bytes, paths included; delete some"
        ));
    }
    Ok(())
}
