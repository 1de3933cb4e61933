//! What computes: enough to tell a kernel from another one, and nothing that may be a secret.
//!
//! Of a program of the user's that is its file, the files that its arguments name, and its arguments, which
//! are shown as a hash alone. What a program reads besides, such as modules that it imports and what its
//! environment says, is not seen.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::printable;

/// Files that are looked at.
const FILES: usize = 64;

/// Bytes that are read of all of them together.
const BYTES: u64 = 1 << 30;

/// Files that are named; the others are told as one hash.
const NAMED: usize = 6;

/// Longest name of a file that is shown, and longest text of somebody else's, in characters.
const LONGEST: (usize, usize) = (40, 1000);

/// Bytes of a hash that are shown.
const HASH: usize = 8;

/// Bytes read at a time.
const STEP: usize = 1 << 16;

/// Says on one line what computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(String);

impl Identity {
    /// Of a kernel that is part of this program. How long it takes makes no difference.
    pub fn built_in(name: &str) -> Self {
        Self::from_text(&format!("the {name} kernel"))
    }

    /// Of a program with its arguments, as [`Exec`](super::Exec) would start it here. Reads its files.
    pub fn of_program(command: &[String]) -> Self {
        Self::of_program_in(command, std::env::var_os("PATH").as_deref(), BYTES)
    }

    /// As somebody else may have written it.
    pub(crate) fn from_text(text: &str) -> Self {
        Self(printable::line(text).chars().take(LONGEST.1).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn of_program_in(command: &[String], search: Option<&OsStr>, mut left: u64) -> Self {
        let Some((program, arguments)) = command.split_first() else {
            return Self::from_text("exec of nothing");
        };
        let mut text =
            format!("exec {} (arguments {}", name(Path::new(program)), of_words(command));
        let itself = find(program, search).unwrap_or_else(|| program.into());
        let named = arguments.iter().filter_map(|argument| file_of(argument));
        let mut others = Sha256::new();
        let mut count = 0;
        for path in std::iter::once(itself).chain(named).take(FILES) {
            let hash = of_file(&path, &mut left).unwrap_or_else(|_| "unreadable".to_owned());
            let shown = format!(", {} {hash}", name(&path));
            if count < NAMED {
                text.push_str(&shown);
            } else {
                others.update(shown);
            }
            count += 1;
        }
        if let Some(more @ 1..) = count.checked_sub(NAMED) {
            let hash = short(others);
            let _ = write!(text, ", {more} more {hash}");
        }
        Self::from_text(&(text + ")"))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The file that an argument names, as it stands or behind its first `=`.
fn file_of(argument: &str) -> Option<PathBuf> {
    let behind = argument.split_once('=').map(|(_, behind)| behind);
    let is_file = |path: &&str| Path::new(path).is_file();
    std::iter::once(argument).chain(behind).find(is_file).map(PathBuf::from)
}

/// The file of a program, as the operating system would find it.
fn find(program: &str, search: Option<&OsStr>) -> Option<PathBuf> {
    if program.contains('/') {
        return None;
    }
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(search?).map(|directory| directory.join(program)).find(is_program)
}

/// Its last part, as far as it can be shown in brackets.
fn name(path: &Path) -> String {
    let last = path.file_name().unwrap_or_default().to_string_lossy();
    last.chars().take(LONGEST.0).collect()
}

fn of_words(words: &[String]) -> String {
    let mut hasher = Sha256::new();
    for word in words {
        hasher.update(word.len().to_le_bytes());
        hasher.update(word);
    }
    short(hasher)
}

/// As `sha256sum` begins. Of one that is longer than what is left to be read, its beginning and its length.
fn of_file(path: &Path, left: &mut u64) -> io::Result<String> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = Sha256::new();
    let mut read = file.take(*left);
    let mut step = vec![0; STEP];
    loop {
        let count = match read.read(&mut step) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&step[..count]);
    }
    if length > *left {
        hasher.update(length.to_le_bytes());
    }
    *left = read.limit();
    Ok(short(hasher))
}

fn short(hasher: Sha256) -> String {
    let mut text = String::new();
    for byte in hasher.finalize().iter().take(HASH) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    /// A directory with a program, `run`, a script and a file of settings.
    fn place() -> TempDir {
        let place = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text);
        write("run", "a program").expect("writes");
        write("f.py", "print(1)\n").expect("writes");
        write("f.toml", "a = 1\n").expect("writes");
        let run = place.path().join("run");
        fs::set_permissions(run, fs::Permissions::from_mode(0o755)).expect("may be run");
        place
    }

    /// `run` with these arguments, of which those that begin with `@` are in the directory.
    fn of(place: &TempDir, arguments: &[&str]) -> Identity {
        let here = |word: &&str| word.replace('@', &format!("{}/", place.path().display()));
        let command: Vec<String> =
            std::iter::once("run".to_owned()).chain(arguments.iter().map(here)).collect();
        Identity::of_program_in(&command, Some(place.path().as_os_str()), BYTES)
    }

    #[test]
    fn it_names_files_and_shows_hashes() {
        let command = ["run", "-m", "something"].map(str::to_owned);
        let place = place();
        let search = Some(place.path().as_os_str());
        insta::assert_snapshot!(
            Identity::of_program_in(&command, search, BYTES),
            @"exec run (arguments a0a96f597af3b043, run d69ea8cda2433733)"
        );
        let text = of(&place, &["@f.py"]).to_string();
        // printf 'print(1)\n' | sha256sum
        assert!(text.ends_with(", f.py cc42155088fca573)"), "{text}");
        insta::assert_snapshot!(Identity::built_in("reference"), @"the reference kernel");
        insta::assert_snapshot!(Identity::of_program(&[]), @"exec of nothing");
    }

    #[rstest]
    #[case::the_program("run")]
    #[case::a_script("f.py")]
    #[case::settings("f.toml")]
    fn what_is_in_a_file_makes_a_difference(#[case] changed: &str) {
        let place = place();
        let look = || of(&place, &["@f.py", "--settings=@f.toml"]);
        let before = look();
        assert_eq!(look(), before, "the same again");
        let path = place.path().join(changed);
        let text = fs::read_to_string(&path).expect("reads");
        fs::write(&path, format!("{text}# a comment\n")).expect("writes");
        assert_ne!(look(), before);
        fs::write(&path, text).expect("writes");
        assert_eq!(look(), before, "as it was");
    }

    #[test]
    fn what_is_missing_is_told_and_no_error() {
        let place = place();
        let known = of(&place, &["@f.py"]);
        fs::remove_file(place.path().join("f.py")).expect("it was there");
        assert_ne!(of(&place, &["@f.py"]), known);
        let nowhere = Identity::of_program_in(&["run".to_owned()], None, BYTES).to_string();
        assert!(nowhere.ends_with(", run unreadable)"), "{nowhere}");
        // A directory, and a file that is no program, are not what is run.
        fs::create_dir(place.path().join("python")).expect("a directory");
        let search = Some(place.path().as_os_str());
        for name in ["python", "f.toml"] {
            assert_eq!(find(name, search), None, "{name}");
        }
    }

    #[test]
    fn many_files_and_long_ones_have_a_bound() {
        let place = place();
        let names: Vec<String> = (0..70).map(|number| format!("@{number}.csv")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for name in &names {
            fs::write(place.path().join(&name[1..]), name).expect("writes");
        }
        let before = of(&place, &names);
        assert!(before.to_string().contains(", 58 more "), "{before}");
        assert!(before.to_string().chars().count() < 400, "{before}");
        fs::write(place.path().join("62.csv"), "other").expect("writes");
        let after = of(&place, &names);
        assert_ne!(after, before, "the last that is looked at");
        fs::write(place.path().join("63.csv"), "other").expect("writes");
        assert_eq!(of(&place, &names), after, "the first that is not");

        let long = place.path().join("f.py");
        let command = ["run".to_owned(), long.display().to_string()];
        let look = || Identity::of_program_in(&command, Some(place.path().as_os_str()), 11);
        fs::write(&long, "0123456789").expect("writes");
        let before = look();
        fs::write(&long, "01ABCDEFGH").expect("writes");
        assert_eq!(look(), before, "beyond what is read");
        fs::write(&long, "01").expect("writes");
        assert_ne!(look(), before, "its length is seen");
    }

    proptest! {
        #[test]
        fn an_argument_is_never_shown(argument in "[g-zG-Z]{6,30}") {
            let place = place();
            let shown = of(&place, &[&format!("--password={argument}"), &argument]).to_string();
            prop_assert!(!shown.contains(&argument), "{}", shown);
            prop_assert_ne!(shown, of(&place, &["another"]).to_string());
        }

        #[test]
        fn words_are_told_apart(words in prop::collection::vec("[ab ]{0,3}", 1..4),
            others in prop::collection::vec("[ab ]{0,3}", 1..4)) {
            prop_assert_eq!(of_words(&words) == of_words(&others), words == others);
        }

        #[test]
        fn it_is_one_line_of_a_bounded_length(text in ".{0,2000}", file in "[^/\0]{1,80}") {
            let shown = Identity::from_text(&text).to_string();
            prop_assert!(shown.chars().count() <= LONGEST.1 && shown.lines().count() <= 1);
            let shown = Identity::of_program_in(&[file], None, BYTES).to_string();
            prop_assert!(shown.lines().count() == 1);
        }
    }
}
