//! A disk that is full, or cannot be written to: what cannot be kept is refused before the target hears of it, what
//! was promised is kept, and once there is room again everything goes on.

use leasehold_core::audit::verify::{Kind, Verifier};
use leasehold_integration_tests::crash::Role;
use leasehold_integration_tests::crash::callers::{Scene, borrow, give_back};
use leasehold_integration_tests::crash::door::Door;
use leasehold_integration_tests::crash::judge::{Seen, judge};
use leasehold_integration_tests::crash::site::{Process, Site};
use leasehold_integration_tests::engine_suite::now;
use leasehold_integration_tests::server::{Build, Server};
use serde_json::{Value, json};
use sqlx::Executor as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LONG: Role =
    Role { name: "long", ttl: Duration::from_hours(1), max: Duration::from_hours(2) };

/// Starts the server of a site by this command, and lends some credentials.
async fn lending(site: &Site, command: Command) -> (Server, Scene, Vec<String>) {
    let server = site.place.try_start_by(command).unwrap();
    let scene = site.scene(Door::to(server.address()));
    let mut lent = Vec::new();
    for _ in 0..5 {
        lent.extend(borrow(&scene, LONG, None).await.unwrap());
    }
    assert_eq!(lent.len(), 5);
    (server, scene, lent)
}

/// Asks for a credential and expects that it is refused; returns why.
async fn refused(scene: &Scene) -> Option<String> {
    let answer = scene.door.ask(&scene.root, "GET", "database/creds/long", Value::Null).await;
    let answer = answer.expect("the server lives");
    (answer.status == 500).then(|| answer.body["errors"].to_string())
}

/// Looks, and expects that nothing is as it must not be.
async fn judged(site: &Site, scene: &Scene) -> Seen {
    let seen = site.look(&scene.door).await.expect("the server lives");
    assert_eq!(judge(&site.told(), &seen), []);
    seen
}

/// Counts the roles at the target, for when the server cannot be asked for its leases.
async fn roles(site: &Site) -> usize {
    let mut admin = site.postgres.superuser("postgres").await;
    admin.fetch_all("SELECT 1 FROM pg_roles WHERE rolname LIKE 'v-%'").await.unwrap().len()
}

/// Waits until there are no more leases and no more roles than these.
async fn settles_to(site: &Site, scene: &Scene, left: usize) {
    let deadline = now().plus(Duration::from_mins(2));
    loop {
        let seen = judged(site, scene).await;
        if (seen.leases.len(), seen.roles.len()) == (left, left) {
            return;
        }
        assert!(now() < deadline, "still there: {:?} {:?}", seen.leases, seen.roles);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn limit_files(server: &Server, bytes: Option<u64>) {
    let bytes = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let set = Command::new("prlimit")
        .args([format!("--pid={}", server.pid()), format!("--fsize={bytes}:unlimited")])
        .status();
    assert!(set.expect("`prlimit` runs; it is in the package `util-linux`").success());
}

/// A file that may not grow fails like a full disk, and needs no privilege.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_grow_issues_nothing_more_and_keeps_what_it_has() {
    let site = Site::found(vec![LONG]).await;
    let file = site.place.path("store/leasehold.redb");
    // The record goes to the standard output, so that only the store is limited.
    let config = fs::read_to_string(site.place.path("config.hcl")).unwrap();
    let audit = site.place.path("audit").display().to_string();
    site.place.configure(&config.replace(&audit, "stdout"));
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(Build::Plain.binary());
    let (server, scene, lent) = lending(&site, command).await;

    limit_files(&server, Some(fs::metadata(&file).unwrap().len() / 2));
    let mut why = None;
    for _ in 0..50 {
        why = refused(&scene).await;
        if why.is_some() {
            break;
        }
    }
    let why = why.expect("a store that cannot be written to issues nothing");
    assert!(why.contains("cannot write") && why.contains("File too large"), "{why}");
    limit_files(&server, None);

    // Whoever reads first finds the file closed, and has it opened again.
    let deadline = now().plus(Duration::from_mins(1));
    let path = "sys/leases/lookup/database/creds/long";
    while scene.door.ask(&scene.root, "LIST", path, Value::Null).await.unwrap().status != 200 {
        assert!(now() < deadline, "the store does not heal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Some may have been stored before the limit was met, and their callers hold them.
    let seen = judged(&site, &scene).await;
    assert!(lent.iter().all(|id| seen.leases.contains(id)));
    let again = borrow(&scene, LONG, None).await.unwrap();
    assert_eq!(again.len(), 1, "there is room again");
    let ends = json!({ "sync": true });
    let ended =
        scene.door.ask(&scene.root, "POST", "sys/leases/revoke-prefix/database", ends).await;
    assert_eq!(ended.unwrap().status, 204);
    site.told().leases.clear();
    settles_to(&site, &scene, 0).await;
}

/// A small disk of the server's own, in a mount namespace that ends with this.
struct SmallDisk {
    keeper: Child,
    enters: Vec<String>,
}

impl SmallDisk {
    /// Mounts a disk of so many MiB at a folder, for those who enter.
    fn at(folder: &Path, mib: u32) -> Self {
        fs::create_dir_all(folder).unwrap();
        let mount = format!(
            "mount -t tmpfs -o size={mib}m,mode=700 small '{}' && echo mounted && exec sleep 600",
            folder.display()
        );
        // As root a namespace for mounts will do; anybody else needs one for users around it.
        for (unshare, nsenter) in [
            (&["--mount"][..], &["--mount"][..]),
            (
                &["--user", "--map-root-user", "--mount"],
                &["--user", "--mount", "--preserve-credentials"],
            ),
        ] {
            let mut keeper = Command::new("unshare")
                .args(unshare)
                .args(["sh", "-c", &mount])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("`unshare` runs; it is in the package `util-linux`");
            let mut line = String::new();
            let said = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line);
            if said.is_ok() && line.trim() == "mounted" {
                let target = format!("--target={}", keeper.id());
                let enters = nsenter.iter().map(|&word| word.to_owned()).chain([target]).collect();
                return Self { keeper, enters };
            }
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        panic!(
            "this environment lets nobody mount a small disk: run the test as root with CAP_SYS_ADMIN (in a container: \
             `--cap-add SYS_ADMIN`), or where users may make namespaces (`sysctl kernel.unprivileged_userns_clone=1`, \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0`)"
        )
    }

    /// Returns a command that runs where the disk is.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(&self.enters).arg("--").arg(program);
        command
    }

    fn run(&self, script: &str) {
        let ran = self.command("sh").args(["-c", script]).output().unwrap();
        assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Moves store and record of a site to a small disk.
fn moved(site: &Site) -> (SmallDisk, String) {
    let folder = site.place.path("small");
    let disk = SmallDisk::at(&folder, 100);
    let folder = folder.display().to_string();
    let [store, audit] = ["store", "audit"].map(|name| site.place.path(name).display().to_string());
    disk.run(&format!("cp -a '{store}' '{audit}' '{folder}'"));
    let config = fs::read_to_string(site.place.path("config.hcl")).unwrap();
    let config = config.replace(&store, &format!("{folder}/store"));
    site.place.configure(&config.replace(&audit, &format!("{folder}/audit")));
    (disk, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_refuses_issues_first_and_loses_nothing_when_it_is_full() {
    let site = Site::found(vec![LONG]).await;
    let (disk, folder) = moved(&site);
    let (server, scene, lent) = lending(&site, disk.command(Build::Plain.binary())).await;

    // Nearly full: what is left is kept for revocations.
    disk.run(&format!("fallocate -l 50M '{folder}/filler'"));
    let why = refused(&scene).await.expect("nothing is issued on a disk that is nearly full");
    assert!(why.contains("is nearly full") && why.contains("free some space"), "{why}");
    give_back(&scene, &lent[0], true).await.unwrap();
    assert_eq!(judged(&site, &scene).await.roles.len(), 4);

    // Full to the last byte: nothing can be recorded either.
    disk.run(&format!("cat /dev/zero > '{folder}/more' 2>/dev/null; true"));
    let why = refused(&scene).await.expect("nothing is issued on a full disk");
    assert!(why.contains("audit") || why.contains("store"), "{why}");
    let body = json!({ "lease_id": site.told().leases[&lent[1]].lease, "sync": true });
    site.told().doom(|id, _| id == lent[1]);
    let ends = scene.door.ask(&scene.root, "POST", "sys/leases/revoke", body).await.unwrap();
    assert_eq!(ends.status, 500, "{}", ends.body);
    assert_eq!(roles(&site).await, 4, "what cannot be recorded is not done");

    disk.run(&format!("rm '{folder}/filler' '{folder}/more'"));
    give_back(&scene, &lent[1], true).await.unwrap();
    assert_eq!(borrow(&scene, LONG, None).await.unwrap().len(), 1, "there is room again");
    settles_to(&site, &scene, 4).await;
    // What the record missed is told in it, and nothing looks as if somebody had taken it away.
    let devices = scene.door.ask(&scene.root, "GET", "sys/audit", Value::Null).await.unwrap();
    let key = devices.body["data"]["first/"]["public_key"].as_str().unwrap().to_owned();
    assert!(server.end().success());
    let record = site.place.path("record");
    disk.run(&format!("cp '{folder}/audit' '{}'", record.display()));
    let mut verifier = Verifier::new([key.as_str()]).unwrap();
    for line in fs::read_to_string(record).unwrap().lines() {
        verifier.line(line.as_bytes());
    }
    let report = verifier.finish();
    assert!(report.is_sound(), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.kind == Kind::Gap), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_a_full_disk_it_starts_again_or_says_why_and_loses_nothing() {
    let site = Site::found(vec![LONG]).await;
    let (disk, folder) = moved(&site);
    let (mut server, scene, lent) = lending(&site, disk.command(Build::Plain.binary())).await;
    disk.run(&format!("cat /dev/zero > '{folder}/more' 2>/dev/null; true"));
    assert!(refused(&scene).await.is_some());
    server.kill();
    drop(scene);
    match site.place.try_start_by(disk.command(Build::Plain.binary())) {
        // It lives, and nobody can ask it for anything that must be recorded.
        Ok(server) => drop(server),
        Err(ended) => assert!(ended.log.contains("No space left on device"), "{}", ended.log),
    }
    assert_eq!(roles(&site).await, lent.len());
    disk.run(&format!("rm '{folder}/more'"));
    let server = site.place.try_start_by(disk.command(Build::Plain.binary())).unwrap();
    let scene = site.scene(Door::to(server.address()));
    settles_to(&site, &scene, lent.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_read_only_is_named_at_the_start_and_nothing_is_lost() {
    let site = Site::found(vec![LONG]).await;
    let (disk, folder) = moved(&site);
    let (mut server, _, lent) = lending(&site, disk.command(Build::Plain.binary())).await;
    server.kill();
    disk.run(&format!("mount -o remount,ro '{folder}'"));
    let refused = site.place.try_start_by(disk.command(Build::Plain.binary())).unwrap_err();
    assert!(refused.log.contains("Read-only file system"), "{}", refused.log);
    assert!(
        refused.log.contains("the store needs a folder that it may write to"),
        "{}",
        refused.log
    );
    disk.run(&format!("mount -o remount,rw '{folder}'"));
    let server = site.place.try_start_by(disk.command(Build::Plain.binary())).unwrap();
    let scene = site.scene(Door::to(server.address()));
    settles_to(&site, &scene, lent.len()).await;
    drop(Process::Runs(server));
}
