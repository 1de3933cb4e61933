//! `ttg manifests`.

use std::fmt::Write;

use clap::ValueEnum;
use ttg_manifests::{
    BrokerChoice, Component, Credentials, Engine, Fsync, Range, Scaling, Storage, SweepSpec,
    check_image, check_label, check_subdomain, check_value,
};

use super::{Ended, Failed, print};

/// Most workers: beyond, a cluster has other worries.
const WORKERS: i64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    Redis,
    #[value(name = "rabbitmq")]
    RabbitMq,
    /// No broker: each worker of an indexed Job computes a fixed share.
    Static,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Autoscale {
    /// So many workers as --workers says, each a Pod of its own.
    None,
    /// By the processors that they use; the cluster needs its metrics server.
    Hpa,
    /// By what is queued; the cluster needs KEDA.
    Keda,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is printed goes to the cluster as it is, and says at its top what else to do:
  ttg manifests --backend redis --workers 3 --image ttg-worker:dev | kubectl apply -f -
No secret is printed or taken: RabbitMQ's user and password are in a Secret of the name ttg-rabbitmq,
with the keys username and password, which you create.")]
pub(super) struct Args {
    /// Which broker.
    #[arg(long)]
    backend: Backend,
    /// How many workers; with an autoscaler, how many at least.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=WORKERS))]
    workers: i32,
    /// Image of ttg, such as registry.example.org/ttg-worker:1.0.
    #[arg(long)]
    image: String,
    /// Image of the broker [default: redis:7.2-alpine or rabbitmq:3-management]
    #[arg(long)]
    broker_image: Option<String>,
    /// Secret of the namespace that images are pulled with, of type kubernetes.io/dockerconfigjson.
    #[arg(long, value_name = "NAME")]
    image_pull_secret: Option<String>,
    /// Namespace of everything; without, it is kubectl's.
    #[arg(long)]
    namespace: Option<String>,
    /// Parameters in the sweep.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    params: u64,
    /// Parameters per chunk; in static mode, per batch.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    chunk_size: u64,
    /// Milliseconds of simulated work per parameter.
    #[arg(long, default_value_t = 1.0)]
    work_ms: f64,
    /// Value of the label ttg.io/milestone.
    #[arg(long)]
    milestone: Option<String>,
    /// StorageClass of the broker's volume; without, it is the cluster's default.
    #[arg(long, conflicts_with = "ephemeral")]
    storage_class: Option<String>,
    /// No volume: whoever deletes the broker's Pod, deletes the sweep.
    #[arg(long)]
    ephemeral: bool,
    /// Who says how many workers there are.
    #[arg(long, default_value = "none")]
    autoscale: Autoscale,
    /// How many workers an autoscaler may start.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=WORKERS))]
    max_workers: Option<i32>,
}

pub(super) fn run(args: &Args) -> Result<Ended, Failed> {
    let sweep = args.sweep().map_err(Failed::Usage)?;
    let documents = ttg_manifests::documents(&sweep);
    print(format_args!("{}", ttg_manifests::stream(&args.comment(), &documents)))?;
    Ok(Ended::Finished)
}

impl Args {
    fn sweep(&self) -> Result<SweepSpec, String> {
        let named = |flag: &'static str| move |why: String| format!("{flag}: {why}");
        check_image(&self.image).map_err(named("--image"))?;
        if let Some(namespace) = &self.namespace {
            check_label(namespace).map_err(named("--namespace"))?;
        }
        if let Some(secret) = &self.image_pull_secret {
            check_subdomain(secret).map_err(named("--image-pull-secret"))?;
        }
        if let Some(milestone) = &self.milestone {
            check_value(milestone).map_err(named("--milestone"))?;
        }
        if !(self.work_ms.is_finite() && self.work_ms >= 0.0) {
            return Err(format!("--work-ms is {}, not a time", self.work_ms));
        }
        let broker = self.broker()?;
        Ok(SweepSpec {
            image: self.image.clone(),
            namespace: self.namespace.clone(),
            params: self.params,
            chunk_size: self.chunk_size,
            work_ms: self.work_ms,
            milestone: self.milestone.clone(),
            scaling: self.scaling()?,
            broker,
            pull_secret: self.image_pull_secret.clone(),
        })
    }

    fn broker(&self) -> Result<Option<BrokerChoice>, String> {
        let component = match self.backend {
            Backend::Redis => Component::Redis,
            Backend::RabbitMq => Component::RabbitMq,
            Backend::Static => {
                let given = [
                    ("--broker-image", self.broker_image.is_some()),
                    ("--storage-class", self.storage_class.is_some()),
                    ("--ephemeral", self.ephemeral),
                    ("--autoscale", self.autoscale != Autoscale::None),
                ];
                return match given.iter().find(|(_, given)| *given) {
                    Some((flag, _)) => Err(format!(
                        "{flag} is of no use with --backend static, where nothing is queued: leave \
                         it out, or choose redis or rabbitmq"
                    )),
                    None => Ok(None),
                };
            }
        };
        let image = self.broker_image.as_deref().unwrap_or(component.official_image());
        check_image(image).map_err(|why| format!("--broker-image: {why}"))?;
        if let Some(class) = &self.storage_class {
            check_subdomain(class).map_err(|why| format!("--storage-class: {why}"))?;
        }
        let engine = if component == Component::Redis {
            Engine::Redis { fsync: Fsync::EverySec }
        } else {
            let secret = component.name().to_owned();
            Engine::RabbitMq { credentials: Credentials { secret, content: None }, trace: false }
        };
        let storage = if self.ephemeral {
            Storage::EmptyDir
        } else {
            Storage::Claim { class: self.storage_class.clone() }
        };
        Ok(Some(BrokerChoice { engine, image: image.to_owned(), storage }))
    }

    fn scaling(&self) -> Result<Scaling, String> {
        let min = self.workers;
        let max = match (self.autoscale, self.max_workers) {
            (Autoscale::None, None) => return Ok(Scaling::Fixed(min.unsigned_abs())),
            (Autoscale::None, Some(_)) => {
                return Err("--max-workers needs --autoscale hpa or keda".to_owned());
            }
            (_, None) => {
                return Err(
                    "an autoscaler needs --max-workers, as many as you would pay for".to_owned()
                );
            }
            (_, Some(max)) if max < min => {
                return Err(format!("--max-workers is {max}, below --workers, which is {min}"));
            }
            (_, Some(max)) => max,
        };
        let range = Range { min, max };
        if self.autoscale == Autoscale::Hpa {
            return Ok(Scaling::Horizontal(range));
        }
        if self.namespace.is_none() {
            return Err(
                "--autoscale keda needs --namespace: KEDA is in another one, and must know \
                        where the broker is"
                    .to_owned(),
            );
        }
        Ok(Scaling::Keda(range))
    }

    /// What it is, and the commands that come next.
    fn comment(&self) -> String {
        let on = match self.backend {
            Backend::Redis => "on Redis",
            Backend::RabbitMq => "on RabbitMQ",
            Backend::Static => "without a broker",
        };
        let workers = match (self.workers, self.max_workers) {
            (1, None) => "1 worker".to_owned(),
            (workers, None) => format!("{workers} workers"),
            (workers, Some(max)) => format!("{workers} to {max} workers"),
        };
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!(
            "A sweep of {} parameters {on}, by {workers} (ttg {version}).\n\n",
            self.params
        );
        let space = self.namespace.as_ref().map(|it| format!(" --namespace {it}"));
        let space = space.unwrap_or_default();
        let result = if self.backend == Backend::Static { "ttg-worker" } else { "ttg-aggregator" };
        self.prepare(&space, &mut text);
        // A String takes all that is written to it.
        let _ = write!(
            text,
            "Apply this text:\n  kubectl apply -f FILE\n\
             Wait for the result, read it, and remove everything:\n  \
             kubectl{space} wait --for=condition=complete --timeout=1h job/{result}\n  \
             kubectl{space} logs {}\n  kubectl delete -f FILE\n",
            if self.backend == Backend::Static {
                "--selector batch.kubernetes.io/job-name=ttg-worker --tail=-1".to_owned()
            } else {
                format!("job/{result}")
            },
        );
        if self.backend != Backend::Static && !self.ephemeral {
            let _ = writeln!(
                text,
                "The broker's volume stays, until you say:\n  kubectl{space} delete \
                 persistentvolumeclaims --selector ttg.io/project={}",
                ttg_manifests::PROJECT
            );
        }
        text
    }

    /// What must be there before.
    fn prepare(&self, space: &str, text: &mut String) {
        if let Some(namespace) = &self.namespace {
            let _ = writeln!(text, "Create the namespace:\n  kubectl create namespace {namespace}");
        }
        if self.backend == Backend::RabbitMq {
            let _ = writeln!(
                text,
                "Create the Secret with RabbitMQ's user and password (of letters and digits):\n  \
                 openssl rand -hex 24 | tr -d '\\n' | kubectl{space} create secret generic \
                 ttg-rabbitmq \\\n    --from-literal=username=ttg --from-file=password=/dev/stdin"
            );
        }
    }
}
