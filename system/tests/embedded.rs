//! What only the embedded file has: many who make it at the same time.

mod support;

use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;
use ttg_system::queue::{self, Address, Settings};

/// A file that somebody reads cannot become a write-ahead log until they have done.
#[tokio::test]
async fn who_opens_the_file_waits_for_others_who_make_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    let reader = Connection::open(&path).expect("opens");
    let read = "CREATE TABLE other (x); BEGIN; SELECT * FROM other; SELECT * FROM other;";
    reader.execute_batch(read).expect("reads");
    let settings = Settings {
        patience: support::bench::PATIENCE,
        ..Settings::new(Address::Embedded(path.clone()))
    };
    let (tell, mut told) = oneshot::channel();
    let opening = async {
        let opened = queue::connect(&settings, None).await.map(drop);
        tell.send(opened.map_err(|error| error.to_string())).expect("somebody listens");
    };
    let others = async {
        let waits = tokio::time::timeout(Duration::from_millis(600), &mut told).await;
        assert!(waits.is_err(), "it waits, and does not give up: {waits:?}");
        reader.execute_batch("COMMIT").expect("ends");
        assert_eq!(told.await.expect("it was told"), Ok(()));
    };
    tokio::join!(opening, others);
}
