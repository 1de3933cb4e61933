//! Programs that are told which file to run: that file is part of what has to be there.

use std::path::Path;

/// Programs that are told another one to run. A version may follow the name.
const INTERPRETERS: &[&str] = &[
    "python", "pypy", "sh", "bash", "dash", "zsh", "ruby", "perl", "node", "julia", "Rscript",
    "lua", "php",
];

/// Options of these that neither take a value nor a program in place of a file.
const PLAIN_OPTIONS: &[&str] = &["-u", "-B", "-E", "-I", "-O", "-OO", "-s", "-S", "-w"];

/// Which word of a command is the file that an interpreter is to run, as far as that can be told.
pub(crate) fn script(command: &[String]) -> Option<usize> {
    let (program, arguments) = command.split_first()?;
    let name = Path::new(program).file_name()?.to_str()?;
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if !INTERPRETERS.contains(&name) {
        return None;
    }
    let at = arguments.iter().position(|word| !PLAIN_OPTIONS.contains(&&**word))?;
    (!arguments[at].starts_with('-')).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_script_is_the_first_word_that_is_no_option() {
        let script = |words: &[&str]| {
            let command: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            super::script(&command).map(|at| command[at].clone())
        };
        assert_eq!(script(&["python3", "kernel.py", "-x"]).as_deref(), Some("kernel.py"));
        assert_eq!(
            script(&["/usr/bin/python3.11", "-u", "kernel.py"]).as_deref(),
            Some("kernel.py")
        );
        for told_otherwise in [
            &["python3", "-c", "print(1)"][..],
            &["python3", "-m", "kernel"],
            &["python3", "-W", "ignore", "kernel.py"],
            &["python3"],
            &["./my_program", "input.txt"],
            &["sh", "-c", "exec my_program"],
        ] {
            assert_eq!(script(told_otherwise), None, "{told_otherwise:?}");
        }
    }
}
