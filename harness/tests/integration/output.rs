//! What people and pipes are shown.

use std::path::Path;

use crate::support::{Said, Sandbox, finish, scenarios, shipped};

const ESCAPE: char = '\u{1b}';

/// A run that takes a moment.
fn small(sandbox: &Sandbox) -> Vec<String> {
    let scenario = sandbox.write(
        "small.yaml",
        "name: small\n\
         description: Over in a moment.\n\
         sweep: { params: 40, chunk_size: 10, kernel: { reference: { work_ms: 1 } } }\n\
         workers: 1\n\
         seed: 7\n",
    );
    vec!["run".into(), scenario]
}

#[test]
fn in_a_pipe_the_report_is_plain_and_80_columns_wide() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["run", &shipped("quickstart"), "--seed", "7"]);
    for text in [&said.stdout, &said.stderr] {
        assert!(!text.contains([ESCAPE, '\r']), "{said}");
    }
    let widest = said.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{said}");
    insta::assert_snapshot!(redacted(&said.stdout), @r"
    PASS  quickstart

      coverage      all 1003 parameters in 101 chunks, each counted exactly once
      not judged    retries, throughput, duration, finish, efficiency

      sweep         1003 parameters in 101 chunks, embedded backend, 3 workers
      environment   process (backend embedded needs no server)
      wall time     #.# s (ideal #.# s, efficiency #.# %)
      throughput    #.# parameters/s
      recovery      1 chunk taken over, p50 #.# ms, max #.# ms
      redelivered   1 delivery, 0 duplicate results removed
      aggregate     sum 514134 over 1003 parameters
      seed          7

      worker-0      ## ████
      worker-1      ## ████
      worker-2      ## ████

      kill-1        kill worker-# at #.# s: process ##### ended by signal 9
      run           runs/quickstart/####-##-##T##-##-##Z
    ");
    // A slow machine's run lasts long enough for a line of progress.
    let is_news = |line: &&str| !line.contains(" of 101 chunks, ");
    let news: Vec<&str> = said.stderr.lines().filter(is_news).collect();
    insta::assert_snapshot!(redacted(&news.join("\n")), @r"
    quickstart: embedded backend, 3 workers, seed 7
       #.# s  kill-1: kill worker-#, which held chunk #####
       #.# s  kill-1: chunk ##### is with worker-# after #.# ms
    ");
}

#[test]
fn a_terminal_has_colours_unless_no_color_is_set() {
    let sandbox = Sandbox::new();
    let in_terminal = |no_color: Option<&str>| {
        let harness = env!("CARGO_BIN_EXE_harness");
        let arguments = small(&sandbox).join("', '");
        let spawn = format!("import pty; pty.spawn(['{harness}', '{arguments}'])");
        let mut python = std::process::Command::new("python3");
        python.args(["-c", &spawn]).current_dir(sandbox.path()).stdin(std::process::Stdio::null());
        python.env_remove("NO_COLOR").env("TERM", "xterm-256color");
        python.envs(no_color.map(|value| ("NO_COLOR", value)));
        let said = finish(&mut python);
        assert!(said.stdout.contains("PASS"), "{said}");
        said.stdout
    };
    const GREEN: &str = "\u{1b}[32m";
    assert!(in_terminal(None).contains(GREEN));
    let plain = in_terminal(Some("1"));
    assert!(!plain.contains(GREEN) && plain.contains("PASS  small"), "{plain:?}");
}

#[test]
fn a_seed_that_was_drawn_is_printed_before_the_run_and_repeats_it() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["run", &shipped("m1-static"), "--set", "sweep.params=30"]);
    let (beginning, seed) = said.stderr.lines().next().unwrap().rsplit_once(' ').unwrap();
    assert_eq!(beginning, "m1-static: static backend, 3 workers, seed");
    let again = ["run", &shipped("m1-static"), "--set", "sweep.params=30", "--seed", seed];
    let said = sandbox.run(&again);
    assert!(said.stdout.contains(&format!("seed          {seed}\n")), "{said}");
}

#[test]
fn list_says_of_each_scenario_what_happens_in_it() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["list", &scenarios().display().to_string()]);
    assert_eq!(said.code, Some(0), "{said}");
    let lines = || said.stdout.lines();
    let entry: Vec<&str> =
        lines().skip_while(|line| !line.starts_with("quickstart")).take(4).collect();
    insta::assert_snapshot!(entry.join("\n"), @r"
    quickstart
        One of three workers is killed in mid-sweep; every parameter still counts
        exactly once.
        embedded: 1003 parameters in chunks of 10, work 6 ms, 3 workers; kill busy
    ");
    let file = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().path();
    let is_scenario = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "yaml");
    let files = scenarios().read_dir().unwrap().map(file).filter(is_scenario).count();
    assert_eq!(lines().filter(|line| !line.starts_with(' ')).count(), files, "{said}");
    assert!(lines().all(|line| line.chars().count() <= 80), "{said}");
}

#[test]
fn doctor_says_what_is_here() {
    let said = Sandbox::new().run(&["doctor"]);
    assert_eq!(said.code, Some(0), "{said}");
    // Of a line that goes on, the second begins with a blank.
    let lines = said.stdout.lines().filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        names,
        ["embedded", "redis-server", "rabbitmq-server", "docker", "kubernetes"],
        "{said}"
    );
    assert!(said.stdout.starts_with("embedded         yes  SQLite 3."), "{said}");
}

#[test]
fn doctor_says_what_a_lack_costs() {
    let sandbox = Sandbox::new();
    let nothing = tempfile::tempdir().unwrap();
    let said = doctor_with(&sandbox, nothing.path());
    assert_eq!(said.code, Some(0), "{said}");
    // RabbitMQ is looked for where Debian keeps it too, and Docker's own words differ.
    let entry = |name: &str| {
        let lines = said.stdout.lines().skip_while(|line| !line.starts_with(name));
        let more = lines.clone().skip(1).take_while(|line| line.starts_with(' '));
        lines.take(1).chain(more).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(entry("redis-server"), @"
    redis-server     no   scenarios on redis cannot run without Docker (Debian,
                          Ubuntu: apt-get install redis-server)
    ");
    insta::assert_snapshot!(entry("kubernetes"), @"
    kubernetes       no   no cluster: the kubeconfig nowhere cannot be read: No such
                          file or directory (os error 2) (harness cluster up makes a
                          cluster; another kubeconfig is named by KUBECONFIG)
    ");
    let docker = entry("docker").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(docker.starts_with("docker no environment container cannot be had: docker does"));
    assert!(docker.ends_with("apt-get install docker.io, then ci/images"), "{docker}");
}

#[test]
fn doctor_finds_a_server_where_a_run_does() {
    let sandbox = Sandbox::new();
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("redis-server");
    std::fs::write(&program, "#!/bin/sh\necho Redis server v=7.9.1 sha=0\n").unwrap();
    let is_executable = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = doctor_with(&sandbox, directory.path());
        said.stdout.contains(&format!("redis-server     yes  7.9.1, {}", program.display()))
    };
    assert!(!is_executable(0o600) && is_executable(0o700));
}

fn doctor_with(sandbox: &Sandbox, path: &Path) -> Said {
    let mut harness = sandbox.harness(&["doctor"]);
    let nowhere = format!("unix://{}", path.join("docker.sock").display());
    finish(harness.env("PATH", path).env("KUBECONFIG", "nowhere").env("DOCKER_HOST", nowhere))
}

#[test]
fn help_says_how_to_begin() {
    let said = Sandbox::new().run(&["--help"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(said.stdout, @"
    Runs parameter sweeps under faults, and says whether every parameter was counted exactly once

    Usage: harness <COMMAND>

    Commands:
      run       Carry scenarios out and judge them
      check     Judge a run again, from the files in its directory alone
      compare   Set runs of several scenarios beside each other
      list      List the scenarios of a directory
      faults    Show every fault as a table: what it does, to whom, what it is told, and where it is
                refused
      doctor    Say what of brokers, Docker and Kubernetes is here, and what each lack costs
      cluster   Make a cluster of kind on this machine, or remove it
      cleanup   Remove what harnesses that run no more have left behind
      selftest  Show that planted defects are caught, and that the correct system passes
      soak      Run random chaos, one seed after another, and say what all of it came to
      system    Be a role of the system: coordinator, worker or aggregate
      help      Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Exit codes: 0 pass, 1 fail, 2 inconclusive, 64 the scenario or the arguments are wrong, 69 the
    environment cannot be had, 70 a defect of ours.

    Examples:
      harness run quickstart
      harness run scenarios/m2-redis-fault.yaml --seed 7 --keep
      harness run scenarios/embedded-fault.yaml --backend redis --set workers=5
      harness check runs/quickstart/latest
    ");
}

#[test]
fn help_of_run_names_every_flag() {
    let said = Sandbox::new().run(&["run", "--help"]);
    insta::assert_snapshot!(said.stdout, @r"
    Carry scenarios out and judge them

    Usage: harness run [OPTIONS] <SCENARIO>...

    Arguments:
      <SCENARIO>...  Scenario files, and names of shipped scenarios

    Options:
          --backend <BACKEND>          Another backend than the scenario's: embedded, redis, rabbitmq or
                                       static
          --environment <ENVIRONMENT>  Where it runs: process, container, external or kubernetes;
                                       without it, what the scenario says, else the first that works
                                       here
          --context <NAME>             The cluster, as a context of the kubeconfig; without it, the
                                       current one
          --namespace <NAME>           A namespace of the cluster that is there already; without it,
                                       each run has one of its own
          --seed <SEED>                The seed of every random choice; without one it is drawn, and
                                       printed
          --out <DIRECTORY>            Where run directories go [default: runs]
          --set <KEY=VALUE>            Change a value of the scenario, as in --set workers=5 or --set
                                       faults.0.at=50%
          --junit <FILE>               Also write JUnit XML: a test case for each scenario, a skipped
                                       one for each check not judged
          --strict                     A right value that could be another chunk's is no pass: the
                                       reference kernel's come again every 1000 parameters
          --keep                       Keep the logs and the broker's data even when the scenario passes
      -h, --help                       Print help
    ");
}

#[test]
fn version_is_one_line() {
    let said = Sandbox::new().run(&["--version"]);
    assert_eq!(said.stdout, concat!("harness ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Without what differs from run to run: measured figures, bars, ids, names of directories.
fn redacted(text: &str) -> String {
    text.lines().map(|line| redacted_line(line) + "\n").collect()
}

fn redacted_line(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let neighbour = |at: Option<usize>| at.and_then(|at| words.get(at)).copied().unwrap_or("");
    let mut kept = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let bare = word.trim_matches(|end: char| !end.is_ascii_alphanumeric());
        let before = neighbour(at.checked_sub(1));
        let after = neighbour(Some(at + 1)).trim_end_matches(|end: char| ",);:".contains(end));
        let measured = ["s", "ms", "%", "parameters/s"].contains(&after) && is_number(bare);
        let named = ["process", "(process", "chunk"].contains(&before) && is_number(bare);
        let struck = ["kill", "with"].contains(&before) && bare.starts_with("worker-");
        kept.push(match *word {
            _ if measured => word.replace(bare, "#.#"),
            _ if named => word.replace(bare, "#####"),
            _ if struck => word.replace(bare, "worker-#"),
            _ if word.contains('█') => "## ████".to_owned(),
            _ if word.starts_with("runs/") => "runs/quickstart/####-##-##T##-##-##Z".to_owned(),
            word => word.to_owned(),
        });
    }
    kept.join(" ")
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

#[test]
fn what_cannot_be_written_is_no_pass_and_what_nobody_reads_is() {
    let sandbox = Sandbox::new();
    let scenario = small(&sandbox);
    let run: Vec<&str> = scenario.iter().map(String::as_str).collect();
    assert_eq!(sandbox.run(&run).code, Some(0));
    let run_directory = sandbox.latest("small").display().to_string();
    let scenarios = scenarios().display().to_string();
    for arguments in [
        &run[..],
        &["check", &run_directory],
        &["list", &scenarios],
        &["compare", &run_directory],
        &["faults"],
        &["--help"],
        &["system", "variables"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = sandbox.harness(arguments);
        let output = command.stdout(full).stderr(std::process::Stdio::piped());
        let output = output.spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let wanted = if arguments[0] == "system" { 1 } else { 69 };
        assert_eq!(output.status.code(), Some(wanted), "{arguments:?}: {stderr}");
        let reason = "error: cannot write to standard output: No space left on device";
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = sandbox.harness(arguments);
        let output = command.stdout(writer).stderr(std::process::Stdio::piped());
        let output = output.spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("error"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_log_that_cannot_be_written_changes_no_exit_code() {
    let sandbox = Sandbox::new();
    for (arguments, code) in
        [(&["run", "nosuch.yaml"][..], 64), (&["check", "nosuch"], 64), (&["nosuch"], 64)]
    {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let status = sandbox.harness(arguments).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
