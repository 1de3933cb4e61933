//! `harness`: runs parameter sweeps under faults and judges them.

fn main() -> std::process::ExitCode {
    ttg_harness::cli::main(std::env::args_os())
}
