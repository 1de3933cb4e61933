//! What is written into the file of the embedded broker: pages, and transactions, each of which waits for
//! the disk. Both are read off its log, which begins anew for nobody while somebody reads.

use std::fs;
use std::path::Path;

use ttg_system::queue::Address;

use super::support::bench::{Backend, Bench};
use super::{Counts, SWEEPS, assert_agreed};

/// Bytes of the log's head, and of a page's within it.
const HEAD: (usize, usize) = (32, 24);

#[tokio::test]
async fn a_chunk_costs_what_is_agreed_on_the_embedded_one() {
    assert_agreed("embedded", SWEEPS, async || {
        let bench = Bench::start(Backend::Embedded);
        let made = bench.onlooker().await;
        let reader = bench.file();
        reader.execute_batch("BEGIN; SELECT * FROM sqlite_schema").expect("reads");
        let Address::Embedded(path) = &bench.settings.address else { panic!("a file") };
        let log = path.with_file_name("queue.db-wal");
        let begun = fs::read(&log).expect("a log")[16..24].to_owned();
        let count = async move |_: &Bench| {
            // They stay open until the last count.
            let _open = (&made, &reader);
            counts(&log, &begun)
        };
        (bench, count)
    })
    .await;
}

/// The log's salt is another one where it has begun anew.
fn counts(log: &Path, begun: &[u8]) -> Counts {
    let log = fs::read(log).expect("a log");
    assert_eq!(&log[16..24], begun, "the log has begun anew, and what was in it is not counted");
    let size = u32::from_be_bytes(log[8..12].try_into().expect("four bytes")) as usize;
    let pages = log[HEAD.0..].chunks_exact(HEAD.1 + size).filter(|page| page[8..16] == *begun);
    // The last page of a transaction says how long the file is then.
    let ends = pages.clone().filter(|page| page[4..8] != [0; 4]);
    vec![("pages", pages.count() as u64), ("transactions", ends.count() as u64)]
}
