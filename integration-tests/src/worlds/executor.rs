//! Runs the tasks of a world one poll at a time, in an order drawn from its seed, and keeps its time.

use super::dice::Dice;
use leasehold_core::tasks::Pending;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Whose work a task is. What belongs to a process dies with it; what belongs to the world goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Networks, disks, targets, callers.
    World,
    /// One process, by its number.
    Process(u32),
}

/// More polls than this at one moment are a loop that waits for nothing.
const AT_ONCE_MAX: u64 = 500_000;

/// No world has so much to do in all; one in which a loop waits for next to nothing does.
const STEPS_MAX: u64 = 3_000_000;

/// The machine that a world runs on.
#[derive(Clone)]
pub struct Executor(Arc<Inner>);

struct Inner {
    /// Milliseconds since the world began.
    now: AtomicU64,
    steps: AtomicU64,
    /// Polls since time last moved on.
    at_once: AtomicU64,
    next_task: AtomicU64,
    dice: Arc<Dice>,
    tasks: Mutex<BTreeMap<u64, Task>>,
    ready: Arc<Mutex<Vec<u64>>>,
    timers: Mutex<BinaryHeap<Reverse<Timer>>>,
    next_timer: AtomicU64,
    /// Whose task is polled.
    running: Mutex<Whose>,
    /// Processes that stand still until then, with what they would do.
    suspended: Mutex<BTreeMap<Whose, (u64, Vec<u64>)>>,
}

struct Task {
    whose: Whose,
    /// Taken out while it is polled.
    work: Option<Pending<'static, ()>>,
    alarm: Arc<Alarm>,
}

/// Says that a task wants to be polled.
struct Alarm {
    task: u64,
    ringing: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

struct Timer {
    at: u64,
    /// Timers of one moment go off in the order in which they were set.
    number: u64,
    waker: Waker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.ringing.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(self.task);
        }
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Executor {
    /// A machine on which nothing runs yet.
    pub fn new(dice: Arc<Dice>) -> Self {
        Self(Arc::new(Inner {
            now: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
            next_task: AtomicU64::new(0),
            dice,
            tasks: Mutex::default(),
            ready: Arc::default(),
            timers: Mutex::default(),
            next_timer: AtomicU64::new(0),
            running: Mutex::new(Whose::World),
            suspended: Mutex::default(),
        }))
    }

    /// How long the world has existed, in milliseconds.
    pub fn now(&self) -> u64 {
        self.0.now.load(Ordering::Relaxed)
    }

    /// How many polls there were.
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    /// Whose task is polled now.
    pub fn running(&self) -> Whose {
        *self.0.running.lock()
    }

    /// Whether so much goes on at one moment that time does not move on any more.
    pub fn is_spinning(&self) -> bool {
        self.0.at_once.load(Ordering::Relaxed) > AT_ONCE_MAX || self.steps() > STEPS_MAX
    }

    /// Begins a task.
    pub fn spawn(&self, whose: Whose, work: Pending<'static, ()>) {
        let task = self.0.next_task.fetch_add(1, Ordering::Relaxed);
        let ready = Arc::clone(&self.0.ready);
        let alarm = Arc::new(Alarm { task, ringing: AtomicBool::new(true), ready });
        self.0.tasks.lock().insert(task, Task { whose, work: Some(work), alarm });
        self.0.ready.lock().push(task);
    }

    /// Begins a task of the world.
    pub fn spawn_world(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn(Whose::World, Box::pin(work));
    }

    /// Ends all tasks of a process, wherever they are.
    pub fn kill(&self, whose: Whose) {
        let dead: Vec<Task> = {
            let mut tasks = self.0.tasks.lock();
            let ids: Vec<u64> =
                tasks.iter().filter(|(_, task)| task.whose == whose).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| tasks.remove(id)).collect()
        };
        self.0.suspended.lock().remove(&whose);
        // What they held may wake others when it is dropped.
        drop(dead);
    }

    /// Ends everything, and with it what the tasks hold of each other.
    pub fn clear(&self) {
        let tasks = std::mem::take(&mut *self.0.tasks.lock());
        let timers = std::mem::take(&mut *self.0.timers.lock());
        drop((tasks, timers));
    }

    /// A process stands still while time goes on, as on a suspended machine. One that does already is left to it.
    pub fn suspend(&self, whose: Whose, span: Duration) {
        let until = self.now() + millis(span);
        if self.0.suspended.lock().contains_key(&whose) {
            return;
        }
        self.0.suspended.lock().insert(whose, (until, Vec::new()));
        let executor = self.clone();
        self.spawn_world(async move {
            executor.sleep_until(until).await;
            let held = executor.0.suspended.lock().remove(&whose);
            executor.0.ready.lock().extend(held.into_iter().flat_map(|(_, tasks)| tasks));
        });
    }

    /// Waits for a span.
    pub fn sleep(&self, span: Duration) -> Sleep {
        self.sleep_until(self.now() + millis(span))
    }

    /// Waits until a moment.
    pub fn sleep_until(&self, at: u64) -> Sleep {
        Sleep { executor: self.clone(), at, is_set: false }
    }

    /// Runs until the moment.
    pub fn run_until(&self, end: u64) {
        self.run_while(end, || true);
        self.0.now.fetch_max(end, Ordering::Relaxed);
    }

    /// Runs until nothing is left to do before the moment, as long as `goes_on`.
    pub fn run_while(&self, end: u64, goes_on: impl Fn() -> bool) {
        while goes_on() && !self.is_spinning() {
            if let Some(task) = self.draw_ready() {
                self.poll(task);
            } else if !self.advance(end) {
                return;
            }
        }
    }

    /// Runs until the work is done; the world must not fall asleep before it is.
    pub fn block_on<T: Send + 'static>(
        &self,
        whose: Whose,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        self.spawn(whose, Box::pin(async move { *told.lock() = Some(work.await) }));
        self.run_while(u64::MAX, || outcome.lock().is_none());
        let mut outcome = outcome.lock();
        outcome.take()
    }

    /// Draws who is polled next, of all that want to be.
    fn draw_ready(&self) -> Option<u64> {
        loop {
            let task = {
                let mut ready = self.0.ready.lock();
                if ready.is_empty() {
                    return None;
                }
                let drawn = self.0.dice.below(ready.len());
                ready.swap_remove(drawn)
            };
            let whose = self.0.tasks.lock().get(&task).map(|task| task.whose);
            let Some(whose) = whose else { continue };
            let mut suspended = self.0.suspended.lock();
            match suspended.get_mut(&whose) {
                Some((until, held)) if self.now() < *until => held.push(task),
                Some(_) | None => return Some(task),
            }
        }
    }

    fn poll(&self, id: u64) {
        let taken = {
            let mut tasks = self.0.tasks.lock();
            tasks.get_mut(&id).and_then(|task| {
                *self.0.running.lock() = task.whose;
                Some((task.work.take()?, Arc::clone(&task.alarm)))
            })
        };
        let Some((mut work, alarm)) = taken else { return };
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        self.0.at_once.fetch_add(1, Ordering::Relaxed);
        alarm.ringing.store(false, Ordering::Relaxed);
        let waker = Waker::from(alarm);
        let is_done = work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.0.tasks.lock();
        // One that is gone was killed by what it did itself.
        let finished = match tasks.get_mut(&id) {
            Some(task) if !is_done => {
                task.work = Some(work);
                None
            }
            Some(_) | None => {
                tasks.remove(&id);
                Some(work)
            }
        };
        drop(tasks);
        drop(finished);
    }

    /// Time moves on to the next timer, unless that is after `end`.
    fn advance(&self, end: u64) -> bool {
        let mut due = Vec::new();
        {
            let mut timers = self.0.timers.lock();
            let Some(at) = timers.peek().map(|Reverse(timer)| timer.at).filter(|at| *at <= end)
            else {
                return false;
            };
            if self.0.now.fetch_max(at, Ordering::Relaxed) < at {
                self.0.at_once.store(0, Ordering::Relaxed);
            }
            while timers.peek().is_some_and(|Reverse(timer)| timer.at <= at) {
                due.extend(timers.pop().map(|Reverse(timer)| timer.waker));
            }
        }
        for waker in due {
            waker.wake();
        }
        true
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Waits for a moment.
#[derive(Debug)]
pub struct Sleep {
    executor: Executor,
    at: u64,
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.at {
            return Poll::Ready(());
        }
        if !self.is_set {
            self.is_set = true;
            let number = self.executor.0.next_timer.fetch_add(1, Ordering::Relaxed);
            let timer = Timer { at: self.at, number, waker: context.waker().clone() };
            self.executor.0.timers.lock().push(Reverse(timer));
        }
        Poll::Pending
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What three tasks did, in which order.
    fn story(seed: u64) -> (Vec<(u64, u32)>, u64) {
        let executor = Executor::new(Arc::new(Dice::new(seed)));
        let order = Arc::new(Mutex::new(Vec::new()));
        for name in 0..3 {
            let (executor, order) = (executor.clone(), Arc::clone(&order));
            executor.clone().spawn_world(async move {
                for round in 0..5 {
                    executor.sleep(Duration::from_millis(round)).await;
                    order.lock().push((executor.now(), name));
                }
            });
        }
        executor.run_until(1000);
        let order = order.lock().clone();
        (order, executor.steps())
    }

    #[test]
    fn a_seed_gives_the_same_run_twice() {
        assert_eq!(story(7), story(7));
    }

    #[test]
    fn another_seed_gives_another_order() {
        assert!((0..20).any(|seed| story(seed).0 != story(20).0));
    }

    #[test]
    fn what_belongs_to_a_process_dies_with_it_and_stands_still_with_it() {
        let executor = Executor::new(Arc::new(Dice::new(1)));
        let ticks = Arc::new(AtomicU64::new(0));
        let whose = Whose::Process(1);
        let (machine, counted) = (executor.clone(), Arc::clone(&ticks));
        let work = async move {
            loop {
                machine.sleep(Duration::from_millis(10)).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        executor.spawn(whose, Box::pin(work));
        executor.run_until(105);
        assert_eq!(ticks.load(Ordering::Relaxed), 10);
        executor.suspend(whose, Duration::from_secs(1));
        executor.run_until(1000);
        assert_eq!(ticks.load(Ordering::Relaxed), 10);
        executor.run_until(1205);
        assert!(ticks.load(Ordering::Relaxed) > 10);
        executor.kill(whose);
        let before = ticks.load(Ordering::Relaxed);
        executor.run_until(10_000);
        assert_eq!(ticks.load(Ordering::Relaxed), before);
    }
}
