//! The directory of one run: `<out>/<scenario>/<time>/`, and `latest` beside it once it has begun.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::RunError;
use crate::plan::Plan;
use crate::recheck::NO_VERDICT;

/// Runs of one scenario that may begin in the same second.
const SAME_SECOND: u32 = 1000;

/// A run's own directory.
#[derive(Debug, Clone)]
pub struct RunDirectory(PathBuf);

impl RunDirectory {
    /// Makes it, with the plan in it: before anything starts.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create(out: &Path, plan: &Plan) -> Result<Self, RunError> {
        let parent = out.join(&plan.scenario);
        let problem = |path: &Path| {
            let path = path.display().to_string();
            move |cause| RunError::Directory { path, cause }
        };
        fs::create_dir_all(&parent).map_err(problem(&parent))?;
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        // Its user's alone: logs, history and reports hold what programs have printed.
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        let mut directory = parent.join(&now);
        let mut made = private.create(&directory);
        for again in 2..SAME_SECOND {
            match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    directory = parent.join(format!("{now}-{again}"));
                    made = private.create(&directory);
                }
                _ => break,
            }
        }
        made.map_err(problem(&directory))?;
        let this = Self(directory);
        for below in [this.logs(), this.broker()] {
            fs::create_dir(&below).map_err(problem(&below))?;
        }
        let text = serde_json::to_string_pretty(plan)
            .map_err(|error| RunError::Internal(format!("the plan has no JSON form: {error}")))?;
        let path = this.0.join("plan.json");
        fs::write(&path, text + "\n").map_err(problem(&path))?;
        Ok(this)
    }

    /// The run begins: it is the latest of its scenario.
    pub fn begins(&self) {
        if let Some(parent) = self.0.parent() {
            self.point_latest_here(parent);
        }
    }

    /// Why there is no verdict, for whoever looks into the directory.
    pub fn has_no_verdict(&self, why: &str) {
        let _ = fs::write(self.0.join(NO_VERDICT), format!("{why}\n"));
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Logs of all processes.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The broker's data: an absolute path, since servers change their working directory.
    pub fn broker(&self) -> PathBuf {
        let path = self.0.join("broker");
        std::path::absolute(&path).unwrap_or(path)
    }

    /// The events.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// Removes what only an investigation needs.
    pub fn tidy(&self) {
        for below in [self.logs(), self.broker()] {
            // What stays is only untidy.
            let _ = fs::remove_dir_all(below);
        }
    }

    /// `latest` is made aside and moved into place, so that two runs at once do not collide.
    fn point_latest_here(&self, parent: &Path) {
        let Some(name) = self.0.file_name() else { return };
        let aside = parent.join(format!(".latest-{}", std::process::id()));
        let _ = fs::remove_file(&aside);
        if std::os::unix::fs::symlink(name, &aside).is_ok() {
            let _ = fs::rename(&aside, parent.join("latest"));
        }
    }
}
