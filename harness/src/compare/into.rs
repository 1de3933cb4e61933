//! Puts a table into a file: between its markers, where the file has them, or alone.

use std::fs;
use std::io::Write;
use std::path::Path;

/// Most bytes of a file that a table is put into.
const BOUND: u64 = 16 << 20;

/// Writes the table called `name` into a file. Where that has the lines `<!-- table: NAME -->` and
/// `<!-- end of table: NAME -->`, what is between them is replaced and all else stays; where it is
/// not there, it is made.
///
/// # Errors
/// One sentence, where the file cannot be read or written, or is some other text.
pub fn write_into(path: &Path, name: &str, table: &str) -> Result<(), String> {
    let place = path.display();
    let said = |error: std::io::Error| format!("{place} cannot be written: {error}");
    // Of the path itself: what a link leads to, nobody has named.
    let whole = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => table.to_owned(),
        Err(error) => return Err(format!("{place} cannot be read: {error}")),
        Ok(it) if !it.is_file() => {
            let what = kind(it.file_type());
            return Err(format!(
                "{place} is {what}, and a table is put only into a regular file (name one)"
            ));
        }
        Ok(it) if it.len() > BOUND => return Err(format!("{place} is too long to be a document")),
        Ok(_) => {
            let text = fs::read_to_string(path)
                .map_err(|error| format!("{place} cannot be read: {error}"))?;
            between(&text, name, table).ok_or_else(|| {
                let (begin, end) = markers(name);
                format!(
                    "{place} has no place for the table (add the lines {begin} and {end}, in \
                     this order and once each, or choose a file that does not exist)"
                )
            })?
        }
    };
    // Beside it and then in its place: nobody ever sees half of it.
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let mut aside = tempfile_in(directory.unwrap_or(Path::new(".")), path).map_err(said)?;
    aside.1.write_all(whole.as_bytes()).and_then(|()| aside.1.sync_all()).map_err(said)?;
    fs::rename(&aside.0, path).map_err(said)
}

fn kind(of: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match of {
        it if it.is_symlink() => "a symbolic link",
        it if it.is_dir() => "a directory",
        it if it.is_char_device() || it.is_block_device() => "a device",
        it if it.is_fifo() => "a pipe",
        it if it.is_socket() => "a socket",
        _ => "no file",
    }
}

fn tempfile_in(directory: &Path, path: &Path) -> std::io::Result<(std::path::PathBuf, fs::File)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = directory.join(format!(".{name}.{}", std::process::id()));
    // Never through what somebody else has put there.
    let made = || fs::File::create_new(&aside);
    let file = made().or_else(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => fs::remove_file(&aside).and_then(|()| made()),
        _ => Err(error),
    })?;
    Ok((aside, file))
}

fn markers(name: &str) -> (String, String) {
    (format!("<!-- table: {name} -->"), format!("<!-- end of table: {name} -->"))
}

/// The text with the table between its markers.
fn between(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = markers(name);
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    let once = !after.contains(&begin) && !after.contains(&end) && !before.contains(&end);
    once.then(|| format!("{before}{begin}\n\n{}\n\n{end}{after}", table.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "before\n<!-- table: m3 -->\nold\n<!-- end of table: m3 -->\nafter\n";

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let new = "before\n<!-- table: m3 -->\n\nnew\n\n<!-- end of table: m3 -->\nafter\n";
        assert_eq!(between(TEXT, "m3", "new\n").as_deref(), Some(new));
        assert_eq!(between(new, "m3", "new\n").as_deref(), Some(new), "again changes nothing");
    }

    #[test]
    fn a_text_without_its_markers_is_left_alone() {
        assert_eq!(between(TEXT, "m2", "new"), None);
        assert_eq!(between("<!-- table: m3 -->\n", "m3", "new"), None);
        assert_eq!(between(&TEXT.repeat(2), "m3", "new"), None);
    }

    #[test]
    fn what_is_no_regular_file_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |path: &Path| write_into(path, "m3", "new\n").unwrap_err();
        let (link, target) = (directory.path().join("link.md"), directory.path().join("target.md"));
        fs::write(&target, TEXT).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(refused(&link).contains("is a symbolic link, and a table"), "{}", refused(&link));
        let nowhere = directory.path().join("nowhere.md");
        std::os::unix::fs::symlink(directory.path().join("none"), &nowhere).unwrap();
        assert!(refused(&nowhere).contains("is a symbolic link"), "also one that leads nowhere");
        assert!(refused(directory.path()).contains("is a directory"));
        assert!(refused(Path::new("/dev/null")).contains("is a device"));
        assert_eq!(fs::read_to_string(&target).unwrap(), TEXT);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_file_that_has_no_place_for_it_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.md");
        fs::write(&path, "mine\n").unwrap();
        let refused = write_into(&path, "m3", "new").unwrap_err();
        assert!(refused.contains("has no place for the table"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine\n");
        let path = directory.path().join("table.md");
        write_into(&path, "m3", "new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left aside");
    }
}
