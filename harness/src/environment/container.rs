//! What a run has on a Docker engine: its network, its broker's server, and the system's processes
//! where the scenario says so.

use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;

use async_trait::async_trait;
use rustix::process::Signal;

use super::process::{Contained, Exit, Program};
use super::server::Seen;
use super::{Unavailable, this_program, worker_image};
use crate::docker::{
    self, Engine, Network, Run, ServerContainer, Which, WorkerContainer, WorkerSpec, sweep,
};
use crate::plan::{Backend, FaultKind, Plan};

/// The image of a foreign worker, where the scenario names none.
pub(crate) const FOREIGN_IMAGE: &str = "ttg-foreign:debian";

/// What a worker may have where one is to run out of it, in bytes.
const MEMORY: u64 = 64 << 20;

/// The file system of a broker whose disk is to be full, in bytes: RabbitMQ takes no messages with
/// less than 50 MB free.
const DISK: u64 = 256 << 20;

/// What a run has on the engine.
pub struct Containers {
    run: Run,
    network: Network,
}

impl Containers {
    /// Makes room for a run, once what dead ones left is gone.
    ///
    /// # Errors
    /// Where no engine answers.
    pub async fn open() -> Result<Self, Unavailable> {
        let engine = Engine::connect().await?;
        sweep(&engine, &Which::DeadOwners).await?;
        // A process id is another's too, where machines share an engine.
        let run = engine.run(&format!("{:08x}", fastrand::u32(..)));
        let network = Network::create(&run).await?;
        Ok(Self { run, network })
    }

    /// Starts the broker's server.
    ///
    /// # Errors
    /// Where there is no image, or it does not start.
    pub async fn server(&self, plan: &Plan) -> Result<ServerContainer, Unavailable> {
        let image = plan.broker.image.as_deref();
        let disk = plan.has_fault(|fault| fault.kind == FaultKind::DiskFull).then_some(DISK);
        match plan.backend {
            Backend::RabbitMq => {
                docker::start_rabbitmq(&self.run, &self.network, image, disk).await
            }
            _ => docker::start_redis(&self.run, &self.network, image, plan.fsync(), disk).await,
        }
    }

    /// Where this machine is reached from containers.
    pub fn gateway(&self) -> IpAddr {
        self.network.gateway()
    }

    /// Starts a process of the system, its output in files of `logs`. A name that was there before
    /// gets a number.
    pub(super) async fn start(
        &self,
        program: &Program,
        life: u32,
        logs: &Path,
    ) -> Result<Rc<WorkerContainer>, Unavailable> {
        let name = match life {
            1 => program.name.clone(),
            more => format!("{}-life-{more}", program.name),
        };
        let image = program.image.clone().unwrap_or_else(worker_image);
        let helper = if program.may_run_out { Some(this_program()?) } else { None };
        let spec = WorkerSpec {
            name,
            image,
            command: program.command.iter().map(|it| it.display().to_string()).collect(),
            environment: program.variables.clone(),
            network: Some(self.network.name().to_owned()),
            user: None,
            memory: program.may_run_out.then_some(MEMORY),
            helper,
            binds: Vec::new(),
            stdout: logs.join(format!("{}.out", program.name)),
            stderr: logs.join(format!("{}.log", program.name)),
        };
        WorkerContainer::start(&self.run, &spec).await.map(Rc::new)
    }

    /// Removes all that the run has on the engine. What cannot be removed is said.
    pub async fn close(self) {
        let which = Which::Run(self.run.id().to_owned());
        if let Err(error) = sweep(self.run.engine(), &which).await {
            crate::report::tell(format_args!(
                "warning: {error} (harness cleanup removes what is left)"
            ));
        }
    }
}

/// Waits for the end of a container, as that of its first process.
pub(super) async fn its_end(container: &WorkerContainer) -> Exit {
    match container.wait().await.map(|ended| ended.code) {
        Ok(code) => Exit::of_container(i32::try_from(code).unwrap_or(i32::MAX)),
        // The engine is gone, or somebody removed it: nothing is known of its end.
        Err(_) => Exit { code: None, signal: None },
    }
}

#[async_trait(?Send)]
impl Contained for WorkerContainer {
    async fn signal(&self, signal: Signal) -> bool {
        let name = match signal {
            Signal::KILL => "SIGKILL",
            Signal::STOP => "SIGSTOP",
            Signal::CONT => "SIGCONT",
            _ => "SIGTERM",
        };
        self.kill(name).await.is_ok()
    }

    async fn limit_cpu(&self, share: Option<f64>) -> Seen {
        self.update_cpu(share).await
    }

    async fn exhaust_memory(&self) -> Seen {
        docker::exhaust_memory(self).await
    }
}
