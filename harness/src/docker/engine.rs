//! The Docker engine, and a run that has its containers there.

use std::collections::HashMap;
use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::core::client::docker_client_instance;

use crate::environment::{Unavailable, docker_host};
use crate::maker::Maker;

/// How long the engine may take to say who it is.
const ANSWER: Duration = Duration::from_secs(10);

/// A Docker engine that answers.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    version: String,
}

impl Engine {
    /// Asks the engine of `DOCKER_HOST`, or of this machine, who it is.
    ///
    /// # Errors
    /// Where none answers, or this user may not ask.
    pub async fn connect() -> Result<Self, Unavailable> {
        let docker = docker_client_instance().await.map_err(|error| no_answer(&causes(&error)))?;
        let version = tokio::time::timeout(ANSWER, docker.version())
            .await
            .map_err(|_| no_answer(&format!("nothing within {ANSWER:?}")))?
            .map_err(|error| no_answer(&causes(&error)))?;
        let version = version.version.unwrap_or_else(|| "of an unknown version".to_owned());
        Ok(Self { docker, version })
    }

    /// Of the engine, such as `20.10.24`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it has an image, so that it need not be pulled.
    pub async fn has_image(&self, image: &str) -> bool {
        self.docker.inspect_image(image).await.is_ok()
    }

    /// What this process makes there under the name of a run.
    pub fn run(&self, id: &str) -> Run {
        Run { engine: self.clone(), id: id.to_owned(), maker: Maker::this() }
    }

    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }
}

/// A run that has its containers, its network and its volumes on an engine.
#[derive(Debug, Clone)]
pub struct Run {
    engine: Engine,
    id: String,
    maker: Maker,
}

impl Run {
    /// Its name, as in the labels.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What everything that is made for it carries.
    pub fn labels(&self) -> HashMap<String, String> {
        self.maker.labels(&self.id).into_iter().collect()
    }

    /// A name for something of it: unique on the engine, as the run is.
    pub(super) fn name(&self, of: &str) -> String {
        format!("{of}-{}", self.id)
    }
}

fn no_answer(why: &dyn std::fmt::Display) -> Unavailable {
    let host = docker_host();
    Unavailable(format!(
        "docker does not answer at {host}: {why} (start it, or use --environment process)"
    ))
}

/// What an error says, and at its root: "client error" alone helps nobody.
fn causes(error: &dyn std::error::Error) -> String {
    let root = std::iter::successors(error.source(), |error| error.source()).last();
    root.map_or_else(|| error.to_string(), ToString::to_string).to_lowercase()
}

/// An error of the engine, with what was attempted.
pub(super) fn failed<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> Unavailable + '_ {
    move |error| Unavailable(format!("docker cannot {what}: {error}"))
}
