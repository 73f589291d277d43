//! Copies of a database that is in use.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use calendar_store::database::Database;
use calendar_store::{Limits, Spooled};
use calendar_store_client::Head;
use futures::stream;

use crate::running::program;
use crate::support::commit;

async fn write(database: &Database, on: Option<u128>, head: u128, ids: &[&str]) {
    let body = commit("team", "all", on, head, ids);
    let body = stream::iter([Ok::<_, String>(body.into())]);
    let (header, mut lines) = Spooled::receive(body, Limits::default()).await.unwrap();
    database.commit("uid-1", &header, &mut lines).await.unwrap();
}

/// Head and events.
async fn stored(database: &Database) -> (Head, Vec<String>) {
    let mut contents = database.contents("uid-1").await.unwrap().unwrap();
    let mut events = Vec::new();
    contents
        .events(|event| {
            events.push(event);
            std::future::ready(true)
        })
        .await
        .unwrap();
    (contents.header.head, events)
}

async fn copy(url: &str, to: &Path) -> Output {
    let mut command = program(&["backup", "--database", url, "--to", to.to_str().unwrap()]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_while_writes_go_on_is_one_of_the_states_there_were() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let database = Database::open(&url).await.unwrap();
    let ids: Vec<String> = (0..500).map(|number| format!("event-{number:04}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    write(&database, None, 1, &ids).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let writes = async {
        let mut head = 1;
        while stopped.try_recv().is_err() {
            write(&database, Some(head), head + 1, &ids).await;
            head += 1;
        }
        head
    };
    let copies = async {
        for number in 0..5 {
            let to = folder.path().join(format!("copy-{number}.db"));
            let Output { status, stderr, .. } = copy(&url, &to).await;
            assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
            assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        }
        stop.send(()).unwrap();
    };
    let (last, ()) = tokio::join!(writes, copies);
    assert!(last > 1, "nothing was written meanwhile");
    let mut heads = Vec::new();
    for number in 0..5 {
        let copy = format!("sqlite:{}", folder.path().join(format!("copy-{number}.db")).display());
        let (head, events) = stored(&Database::open(&copy).await.unwrap()).await;
        let number = u128::from_str_radix(head.as_str(), 16).unwrap();
        assert_eq!(events.len(), ids.len());
        assert!(events.iter().all(|event| event.contains(&format!("\"as of {number}\""))), "of one moment");
        heads.push(number);
    }
    assert!(heads.is_sorted() && heads[4] <= last, "{heads:?}");

    let to = folder.path().join("equal.db");
    assert!(copy(&url, &to).await.status.success());
    let equal = Database::open(&format!("sqlite:{}", to.display())).await.unwrap();
    assert_eq!(stored(&equal).await, stored(&database).await);
    // What is written to either from now on is not what readers of the other have seen.
    let uids = ["uid-1".to_owned()];
    let (ours, theirs) = (database.sequences(&uids).await.unwrap(), equal.sequences(&uids).await.unwrap());
    assert!(ours[0].1.1 == theirs[0].1.1 && ours[0].1.0 != theirs[0].1.0, "{ours:?}, {theirs:?}");
    write(&equal, Some(last), last + 1, &["event-0000"]).await;
}

#[tokio::test]
async fn a_copy_overwrites_nothing_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let url = format!("sqlite:{}", file("store.db").display());
    Database::open(&url).await.unwrap().close().await;
    std::fs::write(file("taken"), "").unwrap();
    let absent = format!("sqlite:{}", file("absent.db").display());
    let exists = format!("calendar-store: {} exists: remove it, or choose another name\n", file("taken").display());
    for (url, to, expected) in [
        (url.as_str(), "taken", exists.as_str()),
        (&url, "nowhere/copy", "cannot be written: No such file or directory"),
        (&absent, "copy", "the database cannot be copied"),
        ("postgres://store:canary@host/db", "copy", "use pg_dump for PostgreSQL"),
        ("mysql://store:canary@host/db", "copy", "has to begin with sqlite:"),
    ] {
        let Output { status, stderr, .. } = copy(url, &file(to)).await;
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1 && !said.contains("canary"), "{said}");
        assert!(!file("copy").exists() && !file("absent.db").exists());
    }
    assert_eq!(std::fs::read_to_string(file("taken")).unwrap(), "");
}

#[tokio::test]
async fn copies_in_a_folder_have_names_of_their_own_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let copies = folder.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let database = Database::open(&url).await.unwrap();
    write(&database, None, 1, &["a", "b"]).await;
    let others = [
        "calendar-store-20200101T000000Z.db.gz",
        "calendar-store-20201399T000000Z.db",
        "calendar-store-99991231T235959Z.db.part",
        "calendar-store-before-the-move.db",
        "notes.txt",
    ];
    let old = [
        "calendar-store-20200101T000000Z.db",
        "calendar-store-20200102T000000Z.db",
        "calendar-store-20191231T000000Z.db",
    ];
    for name in others.iter().chain(&old).chain(&["calendar-store-20200103T000000Z.db.part"]) {
        std::fs::write(copies.join(name), "").unwrap();
    }
    let run = async |more: &[&str]| {
        let mut command =
            program(&[&["backup", "--database", &url, "--folder", copies.to_str().unwrap()], more].concat());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let made = run(&["--keep", "2"]).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = std::path::PathBuf::from(String::from_utf8(made.stdout).unwrap().trim_end());
    let name = made.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("calendar-store-2") && made.parent() == Some(&copies), "{name}");
    let mut expected: Vec<String> = others.iter().map(ToString::to_string).chain([old[1].to_owned(), name]).collect();
    expected.sort();
    let names = || {
        let names = std::fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(), expected, "the newest two, and all that are none");

    // A copy is restored by copying it to where no database is.
    let restored = folder.path().join("restored.db");
    assert!(copy(&format!("sqlite:{}", made.display()), &restored).await.status.success());
    let restored = Database::open(&format!("sqlite:{}", restored.display())).await.unwrap();
    assert_eq!(stored(&restored).await, stored(&database).await);

    let nowhere = program(&["backup", "--database", &url, "--folder", "/nowhere"]).output().unwrap();
    assert!(!nowhere.status.success() && String::from_utf8_lossy(&nowhere.stderr).contains("cannot be written"));
    for wrong in
        [&["backup", "--database", &url][..], &["backup", "--database", &url, "--to", "/nowhere/x", "--keep", "1"]]
    {
        assert_eq!(program(wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
    let zero = run(&["--keep", "0"]).await;
    assert!(zero.status.code() == Some(2) && String::from_utf8_lossy(&zero.stderr).contains("--keep"));
}

#[tokio::test]
async fn a_copy_can_be_led_away_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let database = Database::open(&url).await.unwrap();
    write(&database, None, 1, &["a", "b"]).await;
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let led = copy(&url, Path::new("-")).await;
    assert!(led.status.success() && led.stderr.is_empty(), "{}", String::from_utf8_lossy(&led.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before);
    let elsewhere = tempfile::tempdir().unwrap();
    let copied = elsewhere.path().join("copy.db");
    std::fs::write(&copied, led.stdout).unwrap();
    let copied = Database::open(&format!("sqlite:{}", copied.display())).await.unwrap();
    assert_eq!(stored(&copied).await, stored(&database).await);
}
