mod api_source;
mod callers;
mod exchange;
mod replica;
mod rules;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::FutureExt as _;
use prost::Message as _;

use super::{Authorizer, AuthzError, Minter, Verb};
use crate::{
    auth::{Curve, SigningKey},
    corev2::{ClusterRole, ClusterRoleBinding, RoleRef, Rule, Subject},
    sim::{Options, Sensu, SharedKeys},
    types::{Backend, Cluster, Principal, Snapshot, Source, TlsFiles},
    upstream::{self, BoxFuture, BoxIo, Connect, ConnectError, Manager},
};

/// A simulated local cluster behind in-memory connections, and the private key that it trusts.
struct Local {
    sensu: Sensu,
    link: Arc<Link>,
    manager: Manager,
    minter: Minter,
}

/// The connection to it.
struct Link {
    sensu: Sensu,
    is_down: AtomicBool,
}

// === impl Local ===

impl Local {
    fn new() -> Self {
        let key = SigningKey::generate(Curve::P256).unwrap();
        let keys = SharedKeys::from_pem(&key.private_pem().unwrap(), &key.public_pem().unwrap()).unwrap();
        let sensu = Sensu::new(Options { keys: Arc::new(keys), ..Options::default() });
        let link = Arc::new(Link { sensu: sensu.clone(), is_down: AtomicBool::new(false) });
        let manager = Manager::new(upstream::Config::default(), Arc::clone(&link) as Arc<_>);
        manager.apply(&Snapshot::new([Cluster {
            name: "local-cluster".parse().unwrap(),
            backends: vec![Backend { tls: false, host: "sensu.example.com".into(), port: 8080 }],
            tls: TlsFiles::default(),
            source: Source::Local,
        }]));
        Self { sensu, link, manager, minter: Minter::new(Arc::new(key)) }
    }

    fn set_down(&self, is_down: bool) {
        self.link.is_down.store(is_down, Ordering::Relaxed);
        self.manager.renew(|_| true);
    }

    fn asked(&self) -> Vec<String> {
        self.sensu.requests().into_iter().map(|request| request.path_and_query).collect()
    }
}

impl Connect for Link {
    fn connect(&self, _: &Cluster, _: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        async {
            if self.is_down.load(Ordering::Relaxed) {
                return Err(ConnectError::Tcp(std::io::ErrorKind::ConnectionRefused.into()));
            }
            let (near, far) = tokio::io::duplex(1 << 16);
            let sensu = self.sensu.clone();
            tokio::spawn(async move { sensu.serve_connection(far).await });
            Ok(Box::new(near) as BoxIo)
        }
        .boxed()
    }
}

fn who(user: &str, groups: &[&str]) -> Principal {
    let groups = groups.iter().map(ToString::to_string).collect();
    Principal { subject: user.to_owned(), groups, expires_at: 0 }
}

fn rule(verbs: &[&str], resources: &[&str], names: &[&str]) -> Rule {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    Rule { verbs: texts(verbs), resources: texts(resources), resource_names: texts(names) }
}

fn role(rules: &[Rule]) -> Vec<u8> {
    ClusterRole { rules: rules.to_vec(), metadata: None }.encode_to_vec()
}

fn binding(subjects: &[(&str, &str)], role: &str) -> Vec<u8> {
    let subject =
        |(kind, name): &(&str, &str)| Subject { kind: (*kind).to_owned(), name: (*name).to_owned() };
    ClusterRoleBinding {
        subjects: subjects.iter().map(subject).collect(),
        role_ref: Some(RoleRef { kind: "ClusterRole".to_owned(), name: role.to_owned() }),
        metadata: None,
    }
    .encode_to_vec()
}

/// Whether the caller may update cluster `alpha`.
fn may(authorizer: &dyn Authorizer, user: &str, groups: &[&str]) -> Result<bool, AuthzError> {
    authorizer.decide(&who(user, groups), Verb::Update, "clusters", "alpha")
}
