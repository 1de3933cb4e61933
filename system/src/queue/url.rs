//! An address in one line: `redis://`, `rediss://`, `amqp://`, `amqps://`, `sqlite:`, and
//! `redis+sentinel://` or `rediss+sentinel://` with the name of the master.

use super::Secret;

/// The parts of a URL. What it does not say is nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// A SQLite file.
    Embedded(std::path::PathBuf),
    /// A server.
    Server(ServerUrl),
}

/// The parts of a server's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Whether it is RabbitMQ's; if not, it is Redis'.
    pub is_amqp: bool,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// User.
    pub user: Option<String>,
    /// Password of that user.
    pub password: Option<Secret>,
    /// Hosts and their ports: one, but for Sentinels.
    pub hosts: Vec<(String, u16)>,
    /// Of Sentinels: what they call the master.
    pub master: Option<String>,
    /// Of Redis, the database number; of RabbitMQ, the vhost.
    pub place: Option<String>,
}

/// What is understood.
const FORMS: &str = "redis://HOST:PORT/DATABASE, rediss://, redis+sentinel://HOST:PORT,HOST:PORT/MASTER, \
                     amqp://USER@HOST:PORT/VHOST, amqps:// or sqlite:FILE";

impl BrokerUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence about it that repeats no part in which a secret may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let scheme_end = text.find(':').ok_or_else(|| format!("is no URL such as {FORMS}"))?;
        let (scheme, rest) = (&text[..scheme_end], &text[scheme_end + 1..]);
        if scheme.eq_ignore_ascii_case("sqlite") {
            return file(rest).map(|path| Self::Embedded(path.into()));
        }
        let rest = rest.strip_prefix("//");
        let (is_amqp, is_tls, is_sentinel, usual_port) = match &*scheme.to_ascii_lowercase() {
            "redis" => (false, false, false, 6379),
            "rediss" => (false, true, false, 6379),
            "redis+sentinel" => (false, false, true, 26379),
            "rediss+sentinel" => (false, true, true, 26379),
            "amqp" => (true, false, false, 5672),
            "amqps" => (true, true, false, 5671),
            _ => return Err(format!("begins with no scheme of {FORMS}")),
        };
        let rest =
            rest.ok_or_else(|| format!("has no // behind its scheme; it is to be {FORMS}"))?;
        if rest.contains(['?', '#']) {
            return Err(
                "has options behind its ?, which are not understood: flags and variables such as \
                        BROKER_TLS_CA say the same (a ? or # of a password is %3F or %23)"
                    .to_owned(),
            );
        }
        // The last @: one in a password is often forgotten to be escaped.
        let (who, rest) = match rest.rsplit_once('@') {
            Some((who, rest)) => (Some(who), rest),
            None => (None, rest),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = credentials(who)?;
        let hosts: Vec<(String, u16)> = authority
            .split(',')
            .map(|host| host_and_port(host, usual_port))
            .collect::<Result<_, _>>()?;
        if hosts.len() > 1 && !is_sentinel {
            return Err(
                "names several hosts, which only Sentinels (redis+sentinel://) may be".to_owned()
            );
        }
        let (master, place) = match (is_sentinel, path.split_once('/')) {
            (false, _) => (None, path),
            (true, None) => (Some(path), ""),
            (true, Some((master, database))) => (Some(master), database),
        };
        if master == Some("") {
            return Err("does not name the master behind the Sentinels' hosts".to_owned());
        }
        let place = Some(unescaped(place)?).filter(|place| !place.is_empty());
        if !is_amqp && place.as_ref().is_some_and(|database| database.parse::<u32>().is_err()) {
            return Err("has a database behind its host that is no number".to_owned());
        }
        let master = master.map(unescaped).transpose()?;
        Ok(Self::Server(ServerUrl { is_amqp, is_tls, user, password, hosts, master, place }))
    }

    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        matches!(self, Self::Server(ServerUrl { password: Some(_), .. }))
    }
}

/// The path of `sqlite:FILE` and `sqlite:///FILE`, which begins at the root.
fn file(rest: &str) -> Result<&str, String> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => {
            return Err("is to be sqlite:FILE, or sqlite:///FILE from the root on".to_owned());
        }
        None => rest,
    };
    if path.is_empty() { Err("names no file behind sqlite:".to_owned()) } else { Ok(path) }
}

fn credentials(who: Option<&str>) -> Result<(Option<String>, Option<Secret>), String> {
    let Some(who) = who else { return Ok((None, None)) };
    let (user, password) = match who.split_once(':') {
        Some((user, password)) => (user, Some(Secret(unescaped(password)?))),
        None => (who, None),
    };
    let user = Some(unescaped(user)?).filter(|user| !user.is_empty());
    Ok((user, password))
}

fn host_and_port(text: &str, usual_port: u16) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("has a [ without a ] in its host")?;
            (host, after.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => port.parse().map_err(|_| {
            "has a port that is no number up to 65535 (a / of a password is %2F)".to_owned()
        })?,
        None => usual_port,
    };
    Ok((host.to_owned(), port))
}

/// Percent-encoded text.
fn unescaped(text: &str) -> Result<String, String> {
    let problem =
        || "has a % that is not followed by two digits of a byte (a % itself is %25)".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(value.ok_or_else(problem)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| problem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn server(text: &str) -> ServerUrl {
        match BrokerUrl::parse(text) {
            Ok(BrokerUrl::Server(server)) => server,
            other => panic!("{text} is {other:?}"),
        }
    }

    fn host(name: &str, port: u16) -> (String, u16) {
        (name.to_owned(), port)
    }

    #[test]
    fn what_a_url_does_not_say_is_usual_or_nothing() {
        let plain = server("redis://there");
        assert_eq!(plain.hosts, [host("there", 6379)]);
        assert_eq!(
            (plain.user, plain.password, plain.place, plain.is_tls),
            (None, None, None, false)
        );
        assert_eq!(server("amqps://there/").hosts, [host("there", 5671)]);
        assert_eq!(server("amqp://there/").place, None);
        assert!(server("rediss://there").is_tls && !server("rediss://there").is_amqp);
    }

    #[test]
    fn a_url_says_everything_that_the_variables_say() {
        let redis = server("redis://me:p%40ss%2Fword@[::1]:7000/3");
        assert_eq!(redis.user.as_deref(), Some("me"));
        assert_eq!(redis.password, Some(Secret("p@ss/word".to_owned())));
        assert_eq!((redis.hosts, redis.place.as_deref()), (vec![host("::1", 7000)], Some("3")));
        let nameless = server("redis://:word@there");
        assert_eq!((nameless.user, nameless.password.is_some()), (None, true));
        let amqp = server("AMQP://me:a:b@there:1/%2Fmine");
        assert_eq!(amqp.password, Some(Secret("a:b".to_owned())));
        assert_eq!(amqp.place.as_deref(), Some("/mine"));
    }

    #[test]
    fn sentinels_are_several_and_name_their_master() {
        let url = server("rediss+sentinel://:word@a,b:1/mymaster/2");
        assert_eq!(url.hosts, [host("a", 26379), host("b", 1)]);
        assert_eq!((url.master.as_deref(), url.place.as_deref()), (Some("mymaster"), Some("2")));
        assert!(url.is_tls);
    }

    #[rstest]
    #[case("sqlite:sweep.db", "sweep.db")]
    #[case("sqlite:/tmp/sweep.db", "/tmp/sweep.db")]
    #[case("sqlite:///tmp/sweep.db", "/tmp/sweep.db")]
    fn a_file_is_named_from_here_or_from_the_root(#[case] url: &str, #[case] path: &str) {
        assert_eq!(BrokerUrl::parse(url), Ok(BrokerUrl::Embedded(path.into())));
    }

    #[rstest]
    #[case("hunter2", "is no URL")]
    #[case("http://hunter2@there", "begins with no scheme")]
    #[case("redis:hunter2", "has no //")]
    #[case("redis://:hunter2@", "names no host")]
    #[case("redis://:hunter2@there:port", "has a port that is no number")]
    #[case("redis://:hunter2@there/db", "a database behind its host that is no number")]
    #[case("redis://:hunter2%zz@there", "has a %")]
    #[case("redis://:hunter2@a,b", "several hosts")]
    #[case("redis://:hunter2@there?ssl=true", "options behind its ?")]
    #[case("redis+sentinel://:hunter2@there", "does not name the master")]
    #[case("redis://[:hunter2", "without a ]")]
    #[case("sqlite:", "names no file")]
    #[case("sqlite://hunter2/x", "from the root on")]
    fn what_cannot_be_read_is_said_and_not_repeated(#[case] url: &str, #[case] said: &str) {
        let problem = BrokerUrl::parse(url).expect_err("it cannot be read");
        assert!(problem.contains(said), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}
