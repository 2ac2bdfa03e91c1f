//! Measures the embedded store: `cargo bench -p leasehold-server --bench store [FOLDER]`.
//!
//! The figures depend on the disk under the folder (by default the system's temporary one) more
//! than on anything else: compare those of one run with each other, or of one disk.

#![expect(clippy::arithmetic_side_effects, reason = "nothing here comes near an overflow")]

use leasehold_core::store::{Batch, Key, Store, Value};
use leasehold_server::store::embedded::Embedded;
use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long each measurement runs.
const RUN: Duration = Duration::from_secs(5);

/// What a writer writes, by its number and that of the batch.
type Write = fn(u64, u64) -> Batch;
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(folder)?;
    let runs: [(&str, usize, Write); 4] = [
        ("small records, 1 writer", 1, record),
        ("small records, 64 writers", 64, record),
        ("lease-like batches, 1 writer", 1, lease),
        ("lease-like batches, 64 writers", 64, lease),
    ];
    reads(&folder.path().join("reads")).await?;
    for (number, (name, writers, batch)) in runs.into_iter().enumerate() {
        measure(name, &folder.path().join(number.to_string()), writers, batch).await?;
    }
    Ok(())
}

/// Reads records from a store of 100,000 leases, one after the other.
async fn reads(folder: &Path) -> Outcome<()> {
    let store = Embedded::open(folder)?;
    for part in 0..100 {
        let mut leases = Batch::default();
        for number in 0..1000 {
            leases.puts.extend(lease(0, part * 1000 + number).puts);
        }
        store.commit(leases).await?;
    }
    let (start, mut found) = (now(), 0_u64);
    while start.elapsed() < RUN {
        let lease = lease(0, found.wrapping_mul(7919) % 100_000);
        for (key, _) in lease.puts.iter().take(1) {
            store.get(key).await?.ok_or("a record is missing")?;
            found += 1;
        }
    }
    let each = start.elapsed().as_nanos() / u128::from(found.max(1));
    writeln!(std::io::stdout(), "one record of 400,000: {each} ns")?;
    let (start, mut found) = (now(), 0_u64);
    let (from, to) = (Key(b"due/".to_vec()), Key(b"due0".to_vec()));
    while start.elapsed() < RUN {
        found += u64::try_from(store.range(&from, &to, 1024).await?.len())?;
    }
    let each = start.elapsed().as_nanos() / u128::from(found.max(1));
    writeln!(std::io::stdout(), "each record of a range of 1,024: {each} ns")?;
    Ok(())
}

async fn measure(name: &str, folder: &Path, writers: usize, batch: Write) -> Outcome<()> {
    let store = Arc::new(Embedded::open(folder)?);
    let (start, cpu) = (now(), cpu_time()?);
    let mut running = Vec::new();
    for writer in 0..writers {
        let store = Arc::clone(&store);
        running.push(tokio::spawn(async move {
            let mut written = 0_u64;
            while start.elapsed() < RUN {
                store.commit(batch(u64::try_from(writer)?, written)).await?;
                written = written.saturating_add(1);
            }
            Outcome::Ok(written)
        }));
    }
    let mut batches = 0_u64;
    for writer in running {
        batches = batches.saturating_add(writer.await??);
    }
    let (took, cpu) = (start.elapsed(), cpu_time()?.saturating_sub(cpu));
    let records = u64::try_from(batch(0, 0).puts.len())?;
    let per_second = |count: u64| u128::from(count).saturating_mul(1000) / took.as_millis().max(1);
    writeln!(
        std::io::stdout(),
        "{name}: {} batches/s, {} records/s, {} us of CPU a batch",
        per_second(batches),
        per_second(batches.saturating_mul(records)),
        cpu.as_micros() / u128::from(batches.max(1)),
    )?;
    Ok(())
}

/// One record of 300 bytes under a key that is as good as random.
fn record(writer: u64, number: u64) -> Batch {
    let id = writer.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number << 32 | number);
    let mixed = id.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mut key = vec![b'r'; 8];
    key.extend(mixed.to_be_bytes());
    key.extend(id.to_be_bytes());
    Batch::default().put(Key(key), Value(vec![7; 300]))
}

/// What an issue writes: a lease under a time-ordered key and three index keys, if the records that
/// it was decided on are unchanged.
fn lease(writer: u64, number: u64) -> Batch {
    let mut id = number.to_be_bytes().to_vec();
    id.extend(writer.to_be_bytes());
    let key = |prefix: &str| {
        let mut key = prefix.as_bytes().to_vec();
        key.extend(&id);
        Key(key)
    };
    Batch::default()
        .expect(key("lease/"), None)
        .expect(Key(b"token/one".to_vec()), None)
        .expect(Key(b"mount/one".to_vec()), None)
        .expect(Key(b"role/one".to_vec()), None)
        .put(key("lease/"), Value(vec![7; 600]))
        .put(key("due/"), Value(Vec::new()))
        .put(key("owner/0123456789abcdef/"), Value(Vec::new()))
        .put(key("role/0123456789abcdef/app/"), Value(Vec::new()))
}

#[expect(clippy::disallowed_methods, reason = "a measurement needs the time, and decides nothing")]
fn now() -> Instant {
    Instant::now()
}

/// The time that the process has kept processors busy.
fn cpu_time() -> Outcome<Duration> {
    let spent = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(Duration::from(spent))
}
