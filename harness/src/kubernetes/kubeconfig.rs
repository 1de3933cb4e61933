//! Which cluster is meant: the kubeconfig, and the context in it.

use std::net::IpAddr;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::trouble;
use crate::environment::Unavailable;
use crate::words::quoted;

/// Contexts that are named where one is wrong; a kubeconfig of a large company has hundreds.
const NAMED: usize = 12;

/// What the cluster that this process itself is on is called, where there is no kubeconfig.
const IN_CLUSTER: &str = "in-cluster";

/// A client for the API server of a context, and what it is called.
pub(super) struct Found {
    /// For calls and watches: it notices a server that is silent.
    pub(super) client: Client,
    /// For connections that may be silent for long.
    pub(super) streams: Client,
    /// Name of the context; `in-cluster` inside of a Pod.
    pub(super) context: String,
    /// Address of the API server.
    pub(super) server: String,
}

/// Reads the kubeconfig of `KUBECONFIG`, or that of the user, and takes this context of it, or the
/// current one. Inside of a Pod, its service account does where there is no kubeconfig.
pub(super) async fn find(context: Option<&str>) -> Result<Found, Unavailable> {
    let kubeconfig = match Kubeconfig::read() {
        Ok(kubeconfig) => kubeconfig,
        Err(KubeconfigError::ReadConfig(error, path)) => {
            if context.is_none_or(|it| it == IN_CLUSTER)
                && let Ok(config) = Config::incluster()
            {
                return connect(config, IN_CLUSTER.to_owned());
            }
            return Err(Unavailable(format!(
                "no cluster: the kubeconfig {} cannot be read: {error} (harness cluster up makes a \
                 cluster; another kubeconfig is named by KUBECONFIG)",
                path.display()
            )));
        }
        Err(error) => return Err(unreadable(&error)),
    };
    let context = choose(&kubeconfig, context)?;
    let has_own_proxy = has_own_proxy(&kubeconfig, &context);
    let options = KubeConfigOptions { context: Some(context.clone()), ..Default::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| unreadable(&error))?;
    if !has_own_proxy && is_reached_directly(&config) {
        config.proxy_url = None;
    }
    connect(config, context)
}

fn connect(mut config: Config, context: String) -> Result<Found, Unavailable> {
    // Every call has a time limit and a patience of its own (`cluster`), and says what it waits for.
    config.default_retry = false;
    config.connect_timeout = Some(super::cluster::ANSWER);
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let client = |config: Config| {
        Client::try_from(config)
            .map_err(|error| Unavailable(trouble::of_access(&error, &context, &server)))
    };
    let streams = client(config.clone())?;
    config.read_timeout = Some(super::cluster::SILENCE);
    config.reset_reader_on_write = true;
    let client = client(config)?;
    Ok(Found { client, streams, context, server })
}

/// The context that is meant.
fn choose(kubeconfig: &Kubeconfig, wanted: Option<&str>) -> Result<String, Unavailable> {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|it| it.name.as_str()).collect();
    let Some(name) = wanted.or(kubeconfig.current_context.as_deref()).filter(|it| !it.is_empty())
    else {
        return Err(Unavailable(format!(
            "the kubeconfig has no current context (choose one with --context: {})",
            listed(&names)
        )));
    };
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(Unavailable(format!(
        "the kubeconfig has no context {} (--context takes: {})",
        quoted(name),
        listed(&names)
    )))
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "there is none; harness cluster up makes a cluster".to_owned(),
        names if names.len() > NAMED => {
            format!("{}, and {} more", names[..NAMED].join(", "), names.len() - NAMED)
        }
        names => names.join(", "),
    }
}

fn unreadable(error: &KubeconfigError) -> Unavailable {
    Unavailable(format!(
        "the kubeconfig cannot be used: {error} (mend it, or name another by KUBECONFIG)"
    ))
}

/// Whether the kubeconfig itself names a proxy, and not just the environment.
fn has_own_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    let context = kubeconfig.contexts.iter().find(|it| it.name == context);
    let cluster = context.and_then(|it| it.context.as_ref()).map(|it| it.cluster.as_str());
    let found = kubeconfig.clusters.iter().find(|it| Some(it.name.as_str()) == cluster);
    found.and_then(|it| it.cluster.as_ref()?.proxy_url.as_ref()).is_some_and(|it| !it.is_empty())
}

/// Whether a proxy of the environment is not for this server: the library asks `NO_PROXY` about the
/// proxy, not about the server, and a cluster of this machine is never behind one.
fn is_reached_directly(config: &Config) -> bool {
    let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|it: IpAddr| it.is_loopback());
    let no_proxy = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| std::env::var(name).ok());
    is_here || no_proxy.is_some_and(|list| is_excepted(host, &list))
}

/// Whether a list as that of `NO_PROXY` holds this host: by name, or by the end of one.
fn is_excepted(host: &str, list: &str) -> bool {
    list.split(',').map(|it| it.trim().trim_start_matches('.')).any(|it| {
        let ends = || host.strip_suffix(it).is_some_and(|start| start.ends_with('.'));
        it == "*" || (!it.is_empty() && (host == it || ends()))
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn kubeconfig(contexts: &[&str], current: Option<&str>) -> Kubeconfig {
        let mut text = "apiVersion: v1\nkind: Config\ncontexts:\n".to_owned();
        for name in contexts {
            text += &format!("- {{ name: {name}, context: {{ cluster: c, user: u }} }}\n");
        }
        if let Some(current) = current {
            text += &format!("current-context: {current}\n");
        }
        Kubeconfig::from_yaml(&text).unwrap()
    }

    #[test]
    fn a_context_that_is_wrong_is_told_with_those_there_are() {
        let two = kubeconfig(&["kind-ttg-sandbox", "aks"], Some("aks"));
        assert_eq!(choose(&two, None).unwrap(), "aks");
        assert_eq!(choose(&two, Some("kind-ttg-sandbox")).unwrap(), "kind-ttg-sandbox");
        let error = choose(&two, Some("eks")).unwrap_err();
        assert_snapshot!(error, @"the kubeconfig has no context eks (--context takes: kind-ttg-sandbox, aks)");
        let error = choose(&kubeconfig(&["aks"], None), None).unwrap_err();
        assert_snapshot!(error, @"the kubeconfig has no current context (choose one with --context: aks)");
    }

    #[test]
    fn of_hundreds_of_contexts_some_are_named() {
        let many: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(listed(&many).ends_with("c11, and 28 more"));
    }

    #[test]
    fn a_proxy_of_the_environment_is_not_for_a_host_that_is_excepted() {
        assert!(is_excepted("api.example.org", "localhost,.example.org"));
        assert!(is_excepted("api.example.org", "api.example.org"));
        assert!(!is_excepted("api.badexample.org", ".example.org"));
        assert!(!is_excepted("api.example.org", ""));
    }
}
