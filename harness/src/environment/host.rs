//! Where a run has its broker and its processes, other than on this machine itself.

use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use tokio::io::AsyncRead;
use tokio::sync::watch;

use super::container::{self, Containers};
use super::janitor;
use super::kubernetes::Pods;
use super::process::{Contained, Exit, Program};
use super::{Server, Unavailable};
use crate::plan::{Environment, Plan};

/// What a process prints, for somebody who reads it as it comes.
pub type Stdout = Box<dyn AsyncRead + Unpin>;

/// Where a run has its broker and its processes.
pub enum Host {
    /// On a Docker engine.
    Engine(Box<Containers>),
    /// On a cluster.
    Cluster(Box<Pods>),
}

/// A process that a host has started.
pub(super) struct Hosted {
    /// Its process id.
    pub(super) pid: u32,
    /// What can be done to it.
    pub(super) contained: Rc<dyn Contained>,
    /// What it prints, where somebody wants to read it.
    pub(super) stdout: Option<Stdout>,
    /// Its end.
    pub(super) end: LocalBoxFuture<'static, Exit>,
}

impl Host {
    /// The one that the plan's environment needs, if it needs one. It answers.
    ///
    /// # Errors
    /// Where none does.
    pub async fn find(plan: &Plan) -> Result<Option<Self>, Unavailable> {
        match plan.environment {
            Environment::Container => {
                let containers = Containers::open().await?;
                Ok(Some(Self::Engine(Box::new(containers))))
            }
            Environment::Kubernetes => {
                let pods = Pods::connect(&plan.cluster).await?;
                Ok(Some(Self::Cluster(Box::new(pods))))
            }
            Environment::Process | Environment::External => Ok(None),
        }
    }

    /// Makes room for the run, once somebody is there who would clear up after it.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn make_room(&self, plan: &Plan) -> Result<(), Unavailable> {
        match self {
            Self::Engine(_) => Ok(()),
            Self::Cluster(pods) => pods.make_room(plan).await,
        }
    }

    /// Starts the broker's server.
    ///
    /// # Errors
    /// Where there is no image, or it does not start.
    pub(super) async fn server(
        &self,
        plan: &Plan,
        logs: &Path,
    ) -> Result<Box<dyn Server>, Unavailable> {
        Ok(match self {
            Self::Engine(containers) => Box::new(containers.server(plan).await?),
            Self::Cluster(pods) => Box::new(pods.server(plan, logs).await?),
        })
    }

    /// Where this machine is reached from there, if it is.
    pub fn gateway(&self) -> Option<IpAddr> {
        match self {
            Self::Engine(containers) => Some(containers.gateway()),
            Self::Cluster(_) => None,
        }
    }

    /// The cluster's Pods, if it is one.
    pub fn pods(&self) -> Option<&Pods> {
        match self {
            Self::Engine(_) => None,
            Self::Cluster(pods) => Some(pods),
        }
    }

    /// What it waits for, for people; one that is this machine's own waits for nothing.
    pub fn waits_for(&self) -> Option<watch::Receiver<Option<String>>> {
        self.pods().map(|pods| pods.cluster().waits_for())
    }

    /// What the janitor is told, so that it finds what is to be removed.
    pub(super) fn janitor_arguments(&self) -> Vec<String> {
        match self {
            Self::Engine(_) => vec![janitor::CONTAINERS.to_owned()],
            Self::Cluster(pods) => pods.arguments(),
        }
    }

    /// Starts a process of the system, its output in files of `logs`.
    pub(super) async fn start(
        &self,
        program: &Program,
        life: u32,
        logs: &Path,
    ) -> Result<Hosted, Unavailable> {
        match self {
            Self::Engine(containers) => {
                let container = containers.start(program, life, logs).await?;
                let watched = Rc::clone(&container);
                let end = async move { container::its_end(&watched).await };
                let pid = container.pid();
                Ok(Hosted { pid, contained: container, stdout: None, end: Box::pin(end) })
            }
            Self::Cluster(pods) => pods.start(program, life, logs).await,
        }
    }

    /// Removes all that the run has there. What cannot be removed is said.
    pub async fn close(self) {
        match self {
            Self::Engine(containers) => containers.close().await,
            Self::Cluster(pods) => pods.close().await,
        }
    }
}
