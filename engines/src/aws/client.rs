//! How AWS is asked: its own clients, told where, as whom, and how patiently.

use super::config::Config;
use super::failure::Failure;
use crate::deadline::Deadline;
use aws_sdk_iam::config::http::HttpResponse;
use aws_sdk_iam::config::retry::RetryConfig;
use aws_sdk_iam::config::timeout::TimeoutConfig;
use aws_sdk_iam::config::{BehaviorVersion, Credentials, IdentityCache, Region};
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use std::future::Future;
use std::time::Duration;

/// How long AWS may take to open a connection, and to answer one call; both are a matter of milliseconds, and what is
/// left of the caller's time is better spent on another try.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The first pause before something that AWS does not know everywhere yet is asked again, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Who asks, for the record that AWS keeps of its calls.
const ASKER: &str = "leasehold";

/// The clients of one account.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) sts: aws_sdk_sts::Client,
}

impl Clients {
    pub(super) fn new(config: &Config) -> Self {
        let (id, secret) = config.key();
        let administrator = key(id, secret);
        // As fast as AWS lets us, and no faster: it says itself when it is too fast.
        let retries = RetryConfig::adaptive().with_max_attempts(config.tries());
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_attempt_timeout(ANSWER_WITHIN)
            .build();
        let (region, endpoint) = config.iam();
        let mut iam = aws_sdk_iam::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(administrator.clone())
            // It would keep the key of every credential that was ever tried.
            .identity_cache(IdentityCache::no_cache())
            .retry_config(retries.clone())
            .timeout_config(timeouts.clone());
        iam.set_endpoint_url(endpoint.map(str::to_owned));
        let (region, endpoint) = config.sts();
        let mut sts = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(administrator)
            .identity_cache(IdentityCache::no_cache())
            .retry_config(retries)
            .timeout_config(timeouts);
        sts.set_endpoint_url(endpoint.map(str::to_owned));
        Self {
            iam: aws_sdk_iam::Client::from_conf(iam.build()),
            sts: aws_sdk_sts::Client::from_conf(sts.build()),
        }
    }
}

/// Returns how a call is made that is sent once: sent again by itself, it could not be told any more what the first one
/// did. It still waits its turn where AWS is asked too much, and for its answer as long as whoever asks.
pub(super) fn once() -> aws_sdk_iam::config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_WITHIN)
        .disable_operation_attempt_timeout()
        .build();
    aws_sdk_iam::Config::builder()
        .retry_config(RetryConfig::adaptive().with_max_attempts(1))
        .timeout_config(timeouts)
}

/// Returns a key that does not change.
pub(super) fn key(id: &str, secret: &str) -> Credentials {
    key_with(id, secret, None)
}

/// Returns the key of a session, or one that does not change if it has no token.
pub(super) fn key_with(id: &str, secret: &str, token: Option<&str>) -> Credentials {
    Credentials::new(id, secret, token.map(str::to_owned), None, ASKER)
}

/// Asks AWS one thing, for as long as there is time.
pub(super) async fn call<T, E: ProvideErrorMetadata>(
    deadline: Deadline,
    asked: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Failure> {
    if deadline.is_over() {
        return Err(Failure::Expired);
    }
    match tokio::time::timeout_at(deadline.until, asked).await {
        Ok(answer) => answer.map_err(|error| Failure::of(&error)),
        Err(_) => Err(Failure::TimedOut),
    }
}

/// Reads the next page of a list, for as long as there is time. After an error there is none.
pub(super) async fn page<T, E: ProvideErrorMetadata>(
    deadline: Deadline,
    next: impl Future<Output = Option<Result<T, SdkError<E, HttpResponse>>>>,
) -> Option<Result<T, Failure>> {
    if deadline.is_over() {
        return Some(Err(Failure::Expired));
    }
    match tokio::time::timeout_at(deadline.until, next).await {
        Ok(page) => page.map(|page| page.map_err(|error| Failure::of(&error))),
        Err(_) => Some(Err(Failure::TimedOut)),
    }
}

/// Asks AWS about a user that it was told of just now, again for as long as it does not know of it everywhere.
pub(super) async fn patiently<T, E, F>(
    deadline: Deadline,
    user: &str,
    ask: impl Fn() -> F + Send,
) -> Result<T, Failure>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
{
    let mut pauses = Pauses::default();
    loop {
        match call(deadline, ask()).await {
            Err(failure) if failure.is_missing(user) && !deadline.is_over() => pauses.next().await,
            answer => return answer,
        }
    }
}

/// Pauses that grow.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(PAUSE)
    }
}

impl Pauses {
    pub(super) async fn next(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = self.0.saturating_mul(2).min(PAUSE_MAX);
    }
}
