//! What callers do with tokens: make them, renew them, end them.

use super::{Crowd, ROOT, request};
use crate::worlds::judge::CANARY;
use leasehold_core::broker::{Children, TokenError, TokenMade, TokenRequest, WhichToken};
use leasehold_core::ids::TokenAccessor;
use leasehold_core::secret::SecretText;
use std::sync::Arc;
use std::time::Duration;

impl Crowd {
    pub(super) async fn make_token(&self) {
        let dice = &self.setting().dice;
        let minutes = |most| dice.span(Duration::from_secs(1), Duration::from_mins(most));
        // One that is chosen is found wherever it leaks.
        let id = dice
            .happens(500)
            .then(|| SecretText::new(format!("{CANARY}{}", self.setting().next_request())));
        let wanted = TokenRequest {
            id,
            policies: vec!["root".into()],
            ttl: Some(minutes(60)),
            explicit_max_ttl: if dice.happens(300) { minutes(60) } else { Duration::ZERO },
            period: if dice.happens(200) { minutes(10) } else { Duration::ZERO },
            num_uses: if dice.happens(200) { 3 } else { 0 },
            no_parent: dice.happens(200),
            ..TokenRequest::default()
        };
        let by = self.any_token();
        let request = request(self.setting(), &by);
        let judge = Arc::clone(&self.site.judge);
        judge.asks_as(&request.asked.id, &by);
        let made = self.ask(|broker| {
            Box::pin(async move {
                let made = broker.create_token(&request, wanted).await;
                if let Ok(TokenMade { text, token, .. }) = &made {
                    judge.granted(&request.asked.id);
                    judge.token_told(text.reveal(), token.accessor);
                }
                made
            })
        });
        let Some(Ok(TokenMade { text, token, .. })) = made.await else { return };
        self.setting().counters.tokens.one();
        let mut tokens = self.tokens.lock();
        tokens.push((text.reveal().to_owned(), token.accessor));
        if tokens.len() > 12 {
            tokens.swap_remove(0);
        }
    }

    pub(super) fn made_token(&self) -> Option<(String, TokenAccessor)> {
        let tokens = self.tokens.lock();
        (!tokens.is_empty()).then(|| self.setting().dice.one_of(&tokens).clone())
    }

    pub(super) async fn renew_token(&self) {
        let Some((text, _)) = self.made_token() else { return };
        let request = request(self.setting(), &text);
        let judge = Arc::clone(&self.site.judge);
        judge.asks_as(&request.asked.id, &text);
        let asked = self.ask(|broker| {
            Box::pin(async move {
                if broker.renew_token(&request, &WhichToken::Own, None).await.is_ok() {
                    judge.granted(&request.asked.id);
                }
            })
        });
        asked.await;
    }

    pub(super) async fn end_token(&self) {
        if let Some((_, accessor)) = self.made_token() {
            self.end_token_of(accessor).await;
        }
    }

    pub(super) async fn end_token_of(&self, accessor: TokenAccessor) {
        self.tokens.lock().retain(|(_, other)| *other != accessor);
        self.site.judge.unwant_token(accessor);
        let children =
            if self.setting().dice.happens(200) { Children::Free } else { Children::End };
        let request = request(self.setting(), ROOT);
        let judge = Arc::clone(&self.site.judge);
        let ended = self.ask(|broker| {
            Box::pin(async move {
                let which = WhichToken::Accessor(accessor.to_string());
                let ended: Result<bool, TokenError> =
                    broker.revoke_token(&request, &which, children).await;
                if let Ok(was_there) = &ended {
                    judge.granted(&request.asked.id);
                    if *was_there {
                        judge.token_is_said_to_end(accessor);
                    }
                }
                ended.is_ok()
            })
        });
        if ended.await == Some(true) {
            self.setting().counters.tokens_ended.one();
        }
    }
}
