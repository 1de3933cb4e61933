//! `ttg dead-letters`.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Subcommand;

use super::args::{BrokerArgs, LogArgs};
use super::letter::{self, Letter};
use super::{Ended, Failed, Hooks, Signals, print, print_json};
use crate::chunk::ChunkId;
use crate::queue::{Broker, Decision};
use crate::wire::DeadLetter;

/// Chunks that are named one by one.
const NAMED: usize = 10;

const EXAMPLES: &str = "\
A dead letter is a task that nobody will attempt again: its attempts failed, its workers died over
and over, or it cannot be read. Remove the cause before you replay it.

Examples:
  ttg dead-letters list
  ttg dead-letters show 31
  ttg dead-letters replay 31 32
  ttg dead-letters replay --all --dry-run
  ttg dead-letters drop --unreadable";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true, subcommand_required = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the dead letters, one a line.
    List(List),
    /// Show everything that is known of the dead letters of some chunks.
    Show(Show),
    /// Make tasks of dead letters again: their chunks are open for any worker.
    Replay(Replay),
    /// Remove dead letters; their chunks stay dead.
    Drop(Drop),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Print each as one JSON object, with the whole reason.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Chunks by their ids.
    #[arg(required = true, value_name = "CHUNK")]
    chunks: Vec<u64>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
struct Replay {
    /// Chunks by their ids.
    #[arg(value_name = "CHUNK", group = "which")]
    chunks: Vec<u64>,
    /// Every dead letter that a task can be read from.
    #[arg(long, group = "which")]
    all: bool,
    #[command(flatten)]
    dry: Dry,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
struct Drop {
    /// Chunks by their ids.
    #[arg(value_name = "CHUNK", group = "which")]
    chunks: Vec<u64>,
    /// Every dead letter.
    #[arg(long, group = "which")]
    all: bool,
    /// Those that no task of the sweep can be read from.
    #[arg(long, group = "which")]
    unreadable: bool,
    #[command(flatten)]
    dry: Dry,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Dry {
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Which letters are meant.
enum Which {
    Chunks(BTreeSet<u64>),
    All,
    Unreadable,
}

impl Which {
    fn holds(&self, letter: &Letter) -> bool {
        match (self, letter.index()) {
            (Self::Chunks(chunks), Some(index)) => chunks.contains(&index),
            (Self::Chunks(_), None) => false,
            (Self::All, _) => true,
            (Self::Unreadable, index) => index.is_none(),
        }
    }

    /// Whoever names a chunk that is not there is mistaken in something: nothing is done.
    fn check(&self, letters: &[Letter]) -> Result<(), Failed> {
        let Self::Chunks(chunks) = self else { return Ok(()) };
        let there: BTreeSet<u64> = letters.iter().filter_map(Letter::index).collect();
        let absent: Vec<u64> = chunks.difference(&there).copied().collect();
        if absent.is_empty() {
            return Ok(());
        }
        Err(Failed::Other(format!(
            "no dead letter is of {}, and nothing was done (`ttg dead-letters list` shows which \
             there are)",
            named(&absent)
        )))
    }
}

pub(super) async fn run(args: Args, hooks: &Hooks) -> Result<Ended, Failed> {
    Signals::listen(Duration::ZERO)?.unless_asked(act(args, hooks)).await
}

async fn act(args: Args, hooks: &Hooks) -> Result<Ended, Failed> {
    match args.action {
        Action::List(args) => {
            let letters = read(&*args.common.connect(hooks).await?).await?;
            list(&letters, args.json)?;
        }
        Action::Show(args) => {
            let letters = read(&*args.common.connect(hooks).await?).await?;
            let which = Which::Chunks(args.chunks.into_iter().collect());
            which.check(&letters)?;
            for letter in letters.iter().filter(|letter| which.holds(letter)) {
                print(format_args!("{}", letter.details()))?;
            }
        }
        Action::Replay(Replay { chunks, all, dry, common }) => {
            let which = if all { Which::All } else { Which::Chunks(chunks.into_iter().collect()) };
            let broker = common.connect(hooks).await?;
            let sifted = sift(&*broker, &which, Decision::Replay, dry.dry_run).await?;
            print(format_args!("{}", sifted.replayed(dry.dry_run)))?;
            sifted.check()?;
        }
        Action::Drop(Drop { chunks, all, unreadable, dry, common }) => {
            let which = match (all, unreadable) {
                (true, _) => Which::All,
                (_, true) => Which::Unreadable,
                _ => Which::Chunks(chunks.into_iter().collect()),
            };
            let broker = common.connect(hooks).await?;
            let sifted = sift(&*broker, &which, Decision::Drop, dry.dry_run).await?;
            print(format_args!("{}", sifted.dropped(dry.dry_run)))?;
            sifted.check()?;
        }
    }
    Ok(Ended::Finished)
}

impl Common {
    async fn connect(&self, hooks: &Hooks) -> Result<std::rc::Rc<dyn Broker>, Failed> {
        self.log.start();
        Ok(hooks.connect(&self.broker.settings(hooks)?, None).await?)
    }
}

fn list(letters: &[Letter], json: bool) -> Result<(), Failed> {
    if json {
        letters.iter().try_for_each(print_json)
    } else if letters.is_empty() {
        print(format_args!("there are no dead letters\n"))
    } else {
        print(format_args!("{}", letter::table(letters)))
    }
}

/// What became of the letters that are meant.
#[derive(Default)]
struct Sifted {
    /// Chunks of those that have one.
    done: Vec<u64>,
    /// Those that have none.
    unreadable: usize,
    /// Those that could not be had.
    unseen: u64,
}

impl Sifted {
    fn replayed(&self, dry_run: bool) -> String {
        let mut line = match (self.done.len(), dry_run) {
            (0, _) => "there is no dead letter to replay".to_owned(),
            (_, true) => format!("would replay {}", letters_of(&self.done)),
            (_, false) => format!("replayed {}: open again for any worker", letters_of(&self.done)),
        };
        if self.unreadable > 0 {
            let them = counted(self.unreadable, "dead letter", "dead letters");
            line += &format!("; {them} without a task of the sweep can only be dropped");
        }
        line + "\n"
    }

    fn dropped(&self, dry_run: bool) -> String {
        let mut what = Vec::new();
        if !self.done.is_empty() {
            what.push(letters_of(&self.done));
        }
        if self.unreadable > 0 {
            let (one, several) = ("unreadable dead letter", "unreadable dead letters");
            what.push(counted(self.unreadable, one, several));
        }
        match (what.is_empty(), dry_run) {
            (true, _) => "there is no dead letter to drop\n".to_owned(),
            (_, true) => format!("would drop {}\n", what.join(" and ")),
            (_, false) => {
                let dead = match self.done.len() {
                    0 => "",
                    1 => ": its chunk stays dead",
                    _ => ": their chunks stay dead",
                };
                format!("dropped {}{dead}\n", what.join(" and "))
            }
        }
    }

    /// Whoever asks for all is told where that was not all.
    fn check(&self) -> Result<(), Failed> {
        if self.unseen == 0 {
            return Ok(());
        }
        let done = self.done.len() + self.unreadable;
        Err(Failed::Other(format!(
            "{done} dead letters were done with, and {} more are left: somebody else has them, or has \
             taken them from their queue (run it again when nobody has them)",
            self.unseen,
        )))
    }
}

/// Every dead letter that is there.
async fn read(broker: &dyn Broker) -> Result<Vec<Letter>, Failed> {
    let sweep = broker.sweep().await?.map(|info| info.sweep);
    let mut letters = Vec::new();
    let mut look = |letter: &DeadLetter| {
        letters.push(Letter::new(letter, sweep.as_ref()));
        Decision::Keep
    };
    let unseen = broker.sift(&mut look).await?;
    if unseen > 0 {
        tracing::warn!(
            unseen,
            "somebody else has dead letters, or has taken them from their queue"
        );
    }
    Ok(letters)
}

/// Decides so of the letters that are meant.
async fn sift(
    broker: &dyn Broker,
    which: &Which,
    decision: Decision,
    dry_run: bool,
) -> Result<Sifted, Failed> {
    let is_named = matches!(which, Which::Chunks(_));
    if is_named {
        which.check(&read(broker).await?)?;
    }
    let sweep = broker.sweep().await?.map(|info| info.sweep);
    let mut sifted = Sifted::default();
    let mut decide = |letter: &DeadLetter| {
        let letter = Letter::new(letter, sweep.as_ref());
        if !which.holds(&letter) {
            return Decision::Keep;
        }
        match letter.index() {
            Some(index) => sifted.done.push(index),
            None => sifted.unreadable += 1,
        }
        if dry_run { Decision::Keep } else { decision }
    };
    let unseen = broker.sift(&mut decide).await?;
    // Those that were named are there.
    sifted.unseen = if is_named { 0 } else { unseen };
    Ok(sifted)
}

fn letters_of(chunks: &[u64]) -> String {
    let letters = counted(chunks.len(), "dead letter", "dead letters");
    format!("{letters} ({})", named(chunks))
}

/// `chunk 00031`, or `chunks 00031, 00032 and 7 more`.
fn named(chunks: &[u64]) -> String {
    let first: Vec<String> =
        chunks.iter().take(NAMED).map(|index| ChunkId(*index).to_string()).collect();
    let more = chunks.len() - first.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let chunks = if chunks.len() == 1 { "chunk" } else { "chunks" };
    format!("{chunks} {}{more}", first.join(", "))
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
