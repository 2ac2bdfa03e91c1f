//! A target that stops in the middle of a step, or of which an answer is lost.
//!
//! Whatever becomes of a step, what the engine answers is true: what it says is done is done, what it refuses has
//! changed nothing, and what it cannot know it calls uncertain. And whoever comes later with the lease alone brings
//! all of it to an end.

use super::way::{Fault, Way};
use super::{Login, Opening, PATIENCE, Site, TERM, now, prepared_as, renewal, revocation, until};
use leasehold_core::engine::{Engine as _, EngineError, Issue, Renewal, Renewed, Revocation};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a step may take at least; more where the machine needs more without any trouble.
const TIME_MIN: Duration = Duration::from_secs(2);

/// How much longer a disturbed step may take than one that nothing disturbs and that is alone.
const SLOWER: usize = 10;

/// A step in the life of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Issue,
    Renew,
    Revoke,
}

const STEPS: [Step; 3] = [Step::Issue, Step::Renew, Step::Revoke];

/// What an engine answered, as far as a step is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Refused,
    Uncertain,
}

impl Answer {
    fn of<T>(answer: &Result<T, EngineError>) -> Self {
        match answer {
            Ok(_) => Self::Done,
            Err(EngineError::Refused(_)) => Self::Refused,
            Err(EngineError::Uncertain(_)) => Self::Uncertain,
        }
    }
}

/// How a step goes when nothing disturbs it.
#[derive(Clone, Copy, Debug)]
struct Measure {
    turns: usize,
    took: Duration,
}

impl Measure {
    /// Returns how long a disturbed one may take of so many at once: a target may do one after the other.
    fn time(&self, at_once: usize) -> Duration {
        let slower = u32::try_from(SLOWER.max(2 * at_once)).unwrap_or(u32::MAX);
        self.took.saturating_mul(slower).clamp(TIME_MIN, PATIENCE)
    }
}

/// One step at one credential, by a way that can be disturbed.
struct Trial<S: Site> {
    site: Arc<S>,
    way: Arc<Way>,
    engine: Arc<S::Engine>,
    step: Step,
    issue: Issue<S::Engine>,
    login: Option<Login>,
    session: Option<S::Session>,
}

impl<S: Site> Trial<S> {
    /// Makes all ready: a credential to renew or to revoke, and connections that are open.
    async fn of(site: &Arc<S>, step: Step) -> Self {
        let way = Arc::new(Way::to(site.port()).await);
        let opening = Opening { port: way.port(), ..Opening::of(&**site) };
        let engine = site.opened_again(&opening);
        let role = site.role();
        let prepare =
            || prepared_as(site.lease(), &*engine, &role, ("tester", "app"), 2 * PATIENCE);
        let first = prepare();
        let answer = engine.issue(std::slice::from_ref(&first)).await.remove(0);
        let login = site.login(&answer.expect("nothing disturbs it"));
        let (site, engine) = (Arc::clone(site), Arc::clone(&engine));
        if step == Step::Issue {
            assert_eq!(engine.revoke(&[revocation(&first)]).await, [Ok(())]);
            let issue = prepare();
            return Self { site, way, engine, step, issue, login: None, session: None };
        }
        let session = site.log_in(&login).await.expect("it logs in");
        let (login, session) = (Some(login), Some(session));
        Self { site, way, engine, step, issue: first, login, session }
    }

    /// Asks the engine for the step, with so much time.
    async fn run(&mut self, time: Duration) -> Answer {
        let by = now().plus(time);
        match self.step {
            Step::Issue => {
                self.issue.issue_by = by;
                let asked = std::slice::from_ref(&self.issue);
                let answer = self.engine.issue(asked).await.remove(0);
                self.login = answer.as_ref().ok().map(|secret| self.site.login(secret));
                Answer::of(&answer)
            }
            Step::Renew => {
                let asked = Renewal { answer_by: by, ..renewal(&self.issue, now().plus(2 * TERM)) };
                let answer = self.engine.renew(&[asked]).await.remove(0);
                assert_ne!(answer, Ok(Renewed::Gone), "what is there is not told to be gone");
                Answer::of(&answer)
            }
            Step::Revoke => {
                let asked = Revocation { answer_by: by, ..revocation(&self.issue) };
                Answer::of(&self.engine.revoke(&[asked]).await.remove(0))
            }
        }
    }

    fn name(&self) -> String {
        self.site.name(&self.issue.handle)
    }

    async fn is_there(&mut self) -> bool {
        let name = self.name();
        self.site.credentials().await.contains(&name)
    }

    /// Nobody gets in any more, and nobody is in.
    async fn is_dead(&mut self) {
        let name = self.name();
        assert!(!self.is_there().await, "{name} is gone");
        if let Some(login) = &self.login {
            assert!(self.site.log_in(login).await.is_err(), "{name} logs in no more");
        }
        if let Some(session) = &mut self.session {
            assert!(!self.site.works(session).await, "the session of {name} has ended");
        }
    }

    /// The answer was true, and who comes later brings all to an end. Returns the name that is gone.
    async fn proves_true(mut self, answer: Answer) -> String {
        match (self.step, answer) {
            (Step::Issue, Answer::Refused) => {
                assert!(!self.is_there().await, "what is refused was never made");
            }
            (Step::Revoke, Answer::Done) => self.is_dead().await,
            (Step::Issue | Step::Renew, Answer::Done)
            | (Step::Renew | Step::Revoke, Answer::Refused)
            | (_, Answer::Uncertain) => {}
        }
        // Another process, which knows nothing but the lease.
        let opening = Opening { port: self.way.port(), ..Opening::of(&*self.site) };
        let later = self.site.opened_again(&opening);
        let is_unanswered = self.step == Step::Issue && answer != Answer::Done;
        let issue_by = is_unanswered.then_some(self.issue.issue_by);
        let deadline = now().plus(2 * PATIENCE);
        // Asked as the sweep asks: until it counts.
        loop {
            let unanswered = issue_by.and_then(until);
            let asked = Revocation { unanswered, ..revocation(&self.issue) };
            match later.revoke(&[asked]).await.remove(0) {
                Ok(()) => break,
                Err(error) => assert!(now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.is_dead().await;
        self.name()
    }
}

async fn measured<S: Site>(site: &Arc<S>, step: Step) -> Measure {
    let mut trial = Trial::of(site, step).await;
    let (before, began) = (trial.way.turns(), now());
    assert_eq!(trial.run(PATIENCE).await, Answer::Done, "nothing disturbs it");
    let took = now().since(began);
    let turns = trial.way.turns() - before;
    assert!(turns > 0, "{step:?} asks the target, by the way that it was given");
    trial.proves_true(Answer::Done).await;
    Measure { turns, took }
}

/// None of these is at the target, now that all that was ever sent to it has arrived.
async fn all_are_gone<S: Site>(site: &S, names: &[String]) {
    let left = site.credentials().await;
    for name in names {
        assert!(!left.contains(name), "{name} has come back");
    }
}

/// Each turn of each step is lost, or its answer is: before the effect, and after it.
pub async fn a_lost_answer_loses_nothing<S: Site>(site: &Arc<S>) {
    let mut names = Vec::new();
    for step in STEPS {
        let measure = measured(site, step).await;
        let (turns, time) = (measure.turns, measure.time(2 * measure.turns));
        // All of them at once: what was not answered has to be waited for.
        let mut trials = tokio::task::JoinSet::new();
        for turn in 0..turns {
            for fault in [Fault::Unsent, Fault::Unanswered] {
                let mut trial = Trial::of(site, step).await;
                trial.way.disturb(turn, fault);
                trials.spawn(async move {
                    let answer = trial.run(time).await;
                    let has_met = trial.way.has_met();
                    assert!(has_met || answer == Answer::Done, "{answer:?} for no reason");
                    if let (Step::Issue, Some(login)) = (step, &trial.login) {
                        trial.site.log_in(login).await.map(drop).expect("what is issued logs in");
                    }
                    (has_met, trial.proves_true(answer).await)
                });
            }
        }
        let ended = trials.join_all().await;
        // How often an engine looks again whether something has ended differs from run to run.
        let met = ended.iter().filter(|(has_met, _)| *has_met).count();
        assert!(2 * met >= ended.len(), "{step:?}: only {met} of {} were disturbed", ended.len());
        names.extend(ended.into_iter().map(|(_, name)| name));
    }
    all_are_gone(&**site, &names).await;
}

/// Holds a step up at a turn, does something to the target, lets the step go on, and returns what was answered, and
/// whether anything was done: an engine that looked whether its connection works when it was measured need not do so
/// now, so that a later turn may not come.
async fn struck<S: Site>(
    mut trial: Trial<S>,
    turn: usize,
    time: Duration,
    strike: impl FnOnce(&S, &Way),
) -> (Trial<S>, Answer, bool) {
    trial.way.disturb(turn, Fault::Held);
    let site = Arc::clone(&trial.site);
    let way = Arc::clone(&trial.way);
    let step = trial.step;
    let mut running = tokio::spawn(async move {
        let answer = trial.run(time).await;
        (trial, answer)
    });
    tokio::select! {
        () = way.met() => {}
        ended = &mut running => {
            assert_ne!(turn, 0, "{step:?} asks the target");
            // Whoever comes to that turn later is not held up.
            way.let_go();
            let (trial, answer) = ended.expect("it ran");
            return (trial, answer, false);
        }
    }
    strike(&site, &way);
    way.let_go();
    let ends = timeout(time + PATIENCE, running).await;
    let ends = ends.unwrap_or_else(|_| panic!("{step:?} is not answered in {time:?}"));
    let (trial, answer) = ends.expect("it ran");
    (trial, answer, true)
}

/// The target dies at the first turn of each step, and in its middle, and comes back.
pub async fn a_target_that_dies_leaves_nothing<S: Site>(site: &Arc<S>) {
    let mut names = Vec::new();
    for step in STEPS {
        let measure = measured(site, step).await;
        let (turns, time) = (measure.turns, measure.time(1));
        for turn in BTreeSet::from([0, turns / 2]) {
            let trial = Trial::of(site, step).await;
            let (trial, answer, is_dead) = struck(trial, turn, time, S::kill).await;
            if is_dead {
                site.restart(&trial.way);
            }
            names.push(trial.proves_true(answer).await);
        }
    }
    all_are_gone(&**site, &names).await;
}

/// The target is suspended in the middle of each step and goes on once nobody waits any more: what it then does late
/// outlives no revocation.
pub async fn a_target_that_is_suspended_leaves_nothing<S: Site>(site: &Arc<S>) {
    let mut names = Vec::new();
    for step in STEPS {
        let measure = measured(site, step).await;
        let (turns, time) = (measure.turns, measure.time(1));
        let trial = Trial::of(site, step).await;
        let began = Instant::now();
        let (trial, answer, _) = struck(trial, turns / 2, time, |site, _| site.suspend()).await;
        let took = began.elapsed();
        site.resume();
        assert!(took < time + PATIENCE / 2, "nobody waits longer than they have: {took:?}");
        names.push(trial.proves_true(answer).await);
    }
    all_are_gone(&**site, &names).await;
}
