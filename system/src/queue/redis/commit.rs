//! The commit, which is asked for more often than anything else. Several results are one transaction: a
//! script that decides, and a command for each result. From within the script such a command costs the server
//! twice as much; but nothing in a transaction can depend on what came before it, except a command that does
//! nothing where its key is not there (`XADD NOMKSTREAM`). So the script *opens* the results where all of them
//! are to be stored: it gives the stream a name that nobody else knows, under which the others are added, and
//! the last command gives it its own name back. Nobody sees it open, since a transaction is one step; and
//! wherever the script says no, cannot be carried out, or is not there, the other commands do nothing. Then
//! another script looks at each result.

use std::collections::BTreeMap;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Script, ServerErrorKind,
    Value, cmd,
};

use super::keys::{COMMITTED, DEAD, GROUP, KERNELS, PROGRESS, RESULTS, STORE, TASKS};
use super::link::FORBIDDEN;
use super::{Redis, lost_if_said};
use crate::queue::{Commit, Result, Token};
use crate::wire::{ResultField, TaskResult};

/// What can only be where the right to a transaction was taken away meanwhile.
const NOT_ADDED: &str = "chunks are marked as committed, and their results are in a key ttg:results:* and not in \
                         ttg:results, which somebody else has made anew";

/// Room for what most results take, with the names of their fields.
const RESULT_BYTES: usize = 512;

impl Redis {
    pub(super) async fn store(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        loop {
            if let Some(outcomes) = self.try_to_store(done).await? {
                let of =
                    |first| if first == 1 { Commit::Committed } else { Commit::AlreadySettled };
                return Ok(outcomes.into_iter().map(of).collect());
            }
            // It is not any more what it was known to be computed by: another sweep, mostly.
            self.record_again().await?;
        }
    }

    /// Of each whether it was stored now; nothing where our kernel is not written down any more.
    async fn try_to_store(&self, done: &[(Token, TaskResult)]) -> Result<Option<Vec<u8>>> {
        let together = Together::of(done);
        let outcome = self.link.call(async |mut c| {
            if let Some(together) = &together
                && self.store_together(done, together, &mut c).await?
            {
                return Ok(Some(vec![1; done.len()]));
            }
            // It also says what was wrong.
            let command = self.commit_command(done);
            let script = &self.scripts.commit;
            with_script(script, &mut c, async |c| command.query_async(c).await).await
        });
        self.unless_gone(outcome.await.map_err(lost_if_said), Some(vec![0_u8; done.len()]))
    }

    /// Stores all of the results, or none, which is `false`.
    async fn store_together(
        &self,
        done: &[(Token, TaskResult)],
        together: &Together<'_>,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<bool> {
        if !self.may_begin_transactions(connection).await? {
            return Ok(false);
        }
        let transaction = self.transaction(done, together);
        with_script(&self.scripts.commit_all, connection, async |c| {
            let answers: Vec<RedisResult<Value>> = transaction.query_async(c).await?;
            let transacted = Transacted::of(answers)?;
            if !transacted.has_begun {
                // Before the next it is looked anew.
                self.may_begin_transactions.set(None);
            }
            transacted.into_stored()
        })
        .await
    }

    /// Whether our user may, over this connection. Where it may not, the commands of a transaction would be
    /// carried out one by one.
    async fn may_begin_transactions(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<bool> {
        let (life, _) = self.link.life().await;
        if let Some((of, may)) = self.may_begin_transactions.get()
            && of == life
        {
            return Ok(may);
        }
        // Who may begin one and not leave it would be in it for ever: the first is refused in any case, for
        // want of a transaction or of the right.
        let (mut leave, mut nothing) = (Pipeline::new(), Pipeline::new());
        leave.ignore_errors().cmd("DISCARD");
        nothing.ignore_errors().cmd("MULTI").cmd("EXEC").cmd("DISCARD");
        let may_leave: Vec<RedisResult<Value>> = leave.query_async(connection).await?;
        let mut told = may_leave;
        if !told.iter().any(is_forbidden) {
            let may_end: Vec<RedisResult<Value>> = nothing.query_async(connection).await?;
            if may_end[..2].iter().all(RedisResult::is_ok) {
                // Without its script the first transaction would be sent twice. Where it cannot be loaded, that
                // transaction says why.
                let _ = self.scripts.commit_all.load_async(connection).await;
                self.may_begin_transactions.set(Some((life, true)));
                return Ok(true);
            }
            told.extend(may_end);
        }
        // For another reason it may not just now.
        if told.iter().any(is_forbidden) {
            self.may_begin_transactions.set(Some((life, false)));
        }
        Ok(false)
    }

    /// Its first and last command are said here: `Pipeline::atomic` counts on the answers of a server that
    /// refuses neither (redis 1.8: it panics, or gives answers to the wrong command).
    fn transaction(&self, done: &[(Token, TaskResult)], together: &Together<'_>) -> Pipeline {
        let mut transaction = Pipeline::with_capacity(done.len() + 4);
        transaction.ignore_errors().cmd("MULTI");
        let keys = [TASKS, RESULTS, COMMITTED, DEAD, PROGRESS, KERNELS, &self.open_results, STORE];
        let mut decide = cmd("EVALSHA");
        decide.arg(self.scripts.commit_all.get_hash()).arg(keys.len()).arg(&keys);
        decide.arg(GROUP).arg(&self.member().name).arg(self.recorded.text());
        decide.arg(together.number).arg(together.ids.len());
        for (_, id) in &together.ids {
            decide.arg(*id);
        }
        decide.arg(together.words.len());
        for (word, bits) in &together.words {
            decide.arg(*word).arg(*bits);
        }
        let mut text = String::new();
        add_fields(&mut decide, &done[0].1, &mut text);
        decide.arg(self.state().store.as_deref().unwrap_or_default());
        transaction.add_command(decide);
        for (_, result) in &done[1..] {
            let mut add = Cmd::with_capacity(4 + 2 * ResultField::ALL.len(), RESULT_BYTES);
            add.arg("XADD").arg(&self.open_results).arg("NOMKSTREAM").arg("*");
            add_fields(&mut add, result, &mut text);
            transaction.add_command(add);
        }
        transaction.cmd("RENAMENX").arg(&self.open_results).arg(RESULTS);
        // Where our user may not carry it out any more, it is left.
        transaction.cmd("EXEC").cmd("DISCARD");
        transaction
    }

    /// The call of the script that looks at each, written at once as it is sent: `redis::ScriptInvocation`
    /// keeps each of its many arguments in a piece of memory of its own.
    fn commit_command(&self, done: &[(Token, TaskResult)]) -> Cmd {
        let keys = [TASKS, RESULTS, COMMITTED, DEAD, PROGRESS, KERNELS, STORE];
        let mut command = cmd("EVALSHA");
        command.arg(self.scripts.commit.get_hash()).arg(keys.len()).arg(&keys);
        command.arg(GROUP).arg(&self.member().name).arg(self.recorded.text());
        command.arg(ResultField::ALL.len());
        for field in ResultField::ALL {
            command.arg(field.name()).arg(field.constant().unwrap_or_default());
        }
        let mut text = String::new();
        for (token, result) in done {
            command.arg(&token.id).arg(token.number).arg(result.chunk_index);
            for field in ResultField::ALL.into_iter().filter(|field| field.constant().is_none()) {
                text.clear();
                result.write(field, &mut text);
                command.arg(&text);
            }
        }
        command.arg(self.state().store.as_deref().unwrap_or_default());
        command
    }
}

fn add_fields(command: &mut Cmd, result: &TaskResult, text: &mut String) {
    for field in ResultField::ALL {
        text.clear();
        result.write(field, text);
        command.arg(field.name()).arg(&*text);
    }
}

/// Asks, and asks again where the server did not have the script.
async fn with_script<T>(
    script: &Script,
    connection: &mut MultiplexedConnection,
    ask: impl AsyncFn(&mut MultiplexedConnection) -> RedisResult<T>,
) -> RedisResult<T> {
    match ask(connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script.load_async(connection).await?;
            ask(connection).await
        }
        told => told,
    }
}

fn is_forbidden(told: &RedisResult<Value>) -> bool {
    told.as_ref().is_err_and(|error| error.code() == Some(FORBIDDEN))
}

/// What the server says of a transaction.
struct Transacted {
    has_begun: bool,
    decided: RedisResult<Value>,
    added: Vec<RedisResult<Value>>,
    closed: RedisResult<Value>,
}

impl Transacted {
    /// From the answers to all that was sent: to its begin, to what was queued, to its end, and to leaving it.
    fn of(mut answers: Vec<RedisResult<Value>>) -> RedisResult<Self> {
        answers.pop();
        let ended = answers.pop().unwrap_or(Ok(Value::Nil));
        let has_begun = answers.remove(0).is_ok();
        let mut executed = match ended {
            Ok(executed) => Vec::<RedisResult<Value>>::from_redis_value(executed)?,
            // The right was taken away meanwhile, and each command was carried out by itself.
            Err(_) if !has_begun => answers,
            Err(error) => vec![Err(error)],
        };
        let mut next = |at: usize| match executed.len() > at {
            true => executed.remove(at),
            false => Ok(Value::Nil),
        };
        let decided = next(0);
        let closed = executed.pop().unwrap_or(Ok(Value::Nil));
        Ok(Self { has_begun, decided, added: executed, closed })
    }

    /// Whether all are, or none.
    ///
    /// # Errors
    /// Where the script has to be sent first, and where neither is so.
    fn into_stored(self) -> RedisResult<bool> {
        // Whatever the script says: where it did not open the results, there was nothing to close.
        if !matches!(self.closed, Ok(Value::Int(_))) {
            return match self.decided {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    Err(error)
                }
                _ => Ok(false),
            };
        }
        self.decided?;
        let is_added = |it: &RedisResult<Value>| it.as_ref().is_ok_and(|it| *it != Value::Nil);
        if self.closed != Ok(Value::Int(1)) || !self.added.iter().all(is_added) {
            return Err(RedisError::from((ErrorKind::Client, NOT_ADDED)));
        }
        Ok(true)
    }
}

/// Several results as they mostly are: of different chunks, each delivered as often as the others.
struct Together<'a> {
    /// Of their deliveries, in the order of the stream.
    ids: Vec<((u64, u64), &'a str)>,
    /// How often each was delivered.
    number: u64,
    /// Their chunks in the bitmap, by words of 32 of which the first bit is the highest.
    words: Vec<(u64, i32)>,
}

impl<'a> Together<'a> {
    /// None where each is to be looked at.
    fn of(done: &'a [(Token, TaskResult)]) -> Option<Self> {
        let number = done.first().filter(|_| done.len() > 1)?.0.number;
        let (mut ids, mut words) = (Vec::with_capacity(done.len()), BTreeMap::new());
        for (token, result) in done {
            let (ms, sequence) = token.id.split_once('-')?;
            ids.push(((ms.parse().ok()?, sequence.parse().ok()?), token.id.as_str()));
            let (word, bit) = (result.chunk_index / 32, 1_u32 << (31 - result.chunk_index % 32));
            let bits = words.entry(word).or_insert(0_u32);
            if token.number != number || *bits & bit != 0 {
                return None;
            }
            *bits |= bit;
        }
        ids.sort_unstable();
        let words = words.into_iter().map(|(word, bits)| (word, bits.cast_signed())).collect();
        Some(Self { ids, number, words })
    }
}
