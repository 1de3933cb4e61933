//! `ttg`: coordinator, worker and aggregator of a parameter sweep.

fn main() -> std::process::ExitCode {
    ttg_system::cli::main(std::env::args_os(), &ttg_system::cli::Hooks::default())
}
