//! Whether there is room left on the disk under the run's directory: without, nothing that fails says
//! anything of the system.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::statvfs;
use tokio::time::interval;

use super::{Stage, Standing};
use crate::history::Event;

/// How often to look.
const LOOK: Duration = Duration::from_millis(500);

/// With less than this, in bytes, a disk is full.
const FULL: u64 = 64 << 10;

/// Looks until the run is over, and tells once that the disk is full.
pub(super) async fn watch(stage: Rc<Stage>, directory: PathBuf) {
    let mut look = interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = stage.until(Standing::is_over) => return,
        }
        let Ok(disk) = statvfs(&directory) else { continue };
        if is_full(disk.f_blocks, disk.f_bavail, disk.f_frsize) {
            let what = format!("the disk of {} is full", directory.display());
            return stage.emit(Event::MachineLacks { what });
        }
    }
}

/// Some file systems have no size, and are never full.
fn is_full(blocks: u64, free: u64, size: u64) -> bool {
    blocks > 0 && free.saturating_mul(size) < FULL
}

#[cfg(test)]
mod tests {
    use super::is_full;

    #[test]
    fn a_disk_is_full_before_its_last_block_is_used() {
        assert!(is_full(1000, 15, 4096) && is_full(1000, 0, 4096));
        assert!(!is_full(1000, 16, 4096));
        assert!(!is_full(0, 0, 4096), "it has no size");
    }
}
