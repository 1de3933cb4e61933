//! One connection to the server: to its address, or to the one that Sentinels say.

use std::io;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, Value, cmd, io::tcp::TcpSettings,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::Server;
use super::server::Sentinels;

/// A connection, which ends with this.
pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    driver: Option<JoinHandle<()>>,
}

impl Drop for Dialled {
    fn drop(&mut self) {
        // A request that a frozen server still holds would keep it open.
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

impl Server {
    pub(super) async fn dial(&self, config: &AsyncConnectionConfig) -> RedisResult<Dialled> {
        let Some(sentinels) = &self.sentinels else {
            return self.dial_at(&self.host, self.port, &self.settings(), config).await;
        };
        let (host, port) = self.ask(sentinels, config).await?;
        let mut dialled = self.dial_at(&host, port, &self.settings(), config).await?;
        match cmd("ROLE").query_async::<Vec<Value>>(&mut dialled.connection).await {
            Ok(role) if role.first() != Some(&Value::BulkString("master".into())) => {
                let not_yet = format!("{host}:{port} is no master, though a sentinel says so");
                Err(io::Error::other(not_yet).into())
            }
            // Whoever may not ask finds it out by the first thing that is written.
            Ok(_) => Ok(dialled),
            Err(error) if error.code() == Some("NOPERM") => Ok(dialled),
            Err(error) => Err(error),
        }
    }

    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default().set_db(self.db);
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(&password.0);
        }
        settings
    }

    /// Where the master is, by the first sentinel that knows.
    async fn ask(
        &self,
        sentinels: &Sentinels,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<(String, u16)> {
        let mut last = RedisError::from(io::Error::other("no sentinel is named"));
        for (host, port) in &sentinels.addresses {
            // Most have no password of their own; where they have, it is taken for the same.
            for settings in [RedisConnectionInfo::default(), self.settings().set_db(0)] {
                match self.ask_one(host, *port, &settings, &sentinels.master, config).await {
                    Ok(Some(master)) => return Ok(master),
                    Ok(None) => {
                        let unknown = format!("it does not know the master {}", sentinels.master);
                        last =
                            io::Error::other(format!("sentinel {host}:{port}: {unknown}")).into();
                        break;
                    }
                    Err(error) => {
                        let is_locked = error.code() == Some("NOAUTH");
                        last = io::Error::other(format!("sentinel {host}:{port}: {error}")).into();
                        if !is_locked {
                            break;
                        }
                    }
                }
            }
        }
        Err(last)
    }

    async fn ask_one(
        &self,
        host: &str,
        port: u16,
        settings: &RedisConnectionInfo,
        master: &str,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<Option<(String, u16)>> {
        let mut dialled = self.dial_at(host, port, settings, config).await?;
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        ask.query_async(&mut dialled.connection).await
    }

    async fn dial_at(
        &self,
        host: &str,
        port: u16,
        settings: &RedisConnectionInfo,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<Dialled> {
        let Some(tls) = &self.tls else {
            let client = Client::open(plain(host, port, settings)?)?;
            let connection = client.get_multiplexed_async_connection_with_config(config).await?;
            return Ok(Dialled { connection, driver: None });
        };
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let stream = tls.encrypt(stream, host).await?;
        let (connection, driver) =
            MultiplexedConnection::new_with_config(settings, stream, config.clone()).await?;
        Ok(Dialled { connection, driver: Some(tokio::spawn(driver)) })
    }
}

fn plain(host: &str, port: u16, settings: &RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
    Ok(ConnectionAddr::Tcp(host.to_owned(), port)
        .into_connection_info()?
        .set_redis_settings(settings.clone())
        // Small commands must not wait for the acknowledgement of those before.
        .set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}
