use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::{
    Failure,
    client::{
        http::Gateway,
        options::{Connection, Format, Output},
        print::{pretty, yaml_text},
        table::{Heading, Table},
        value::{joined, list, text},
    },
    look::Look,
    output::print,
};

/// `fedgate cluster …`: what is asked of the Sensu cluster at the URL, which a path such as `/c/alpha` names.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ClusterCommand {
    /// Show the members of the cluster's etcd and whether they are healthy
    Health(Members),
    /// Show the cluster's id
    Id(Id),
    /// List the members of the cluster's etcd
    MemberList(Members),
}

/// `fedgate cluster id`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Id {
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate cluster health`, `fedgate cluster member-list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Members {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

// === impl ClusterCommand ===

impl ClusterCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Id(id) => {
                let gateway = Gateway::open(id.connection.settings()?).await?;
                let id = gateway.get("/api/core/v2/cluster/id").await?.json()?;
                print(&format!("sensu cluster id: {}\n", text(&id)))
            }
            Self::Health(members) => members.show("/health", "ClusterHealth", health).await,
            Self::MemberList(members) => {
                members.show("/api/core/v2/cluster/members", "members", member).await
            }
        }
    }
}

/// A heading and what is below it for a member.
type Row = Vec<(&'static str, String)>;

fn health(member: &Value) -> Row {
    vec![
        ("ID", text(&member["MemberIDHex"])),
        ("NAME", text(&member["Name"])),
        ("ERROR", text(&member["Err"])),
        ("HEALTHY", text(&member["Healthy"])),
    ]
}

fn member(member: &Value) -> Row {
    vec![
        ("ID", member["ID"].as_u64().map(|id| format!("{id:x}")).unwrap_or_default()),
        ("NAME", text(&member["name"])),
        ("PEER URLS", joined(&member["peerURLs"])),
        ("CLIENT URLS", joined(&member["clientURLs"])),
    ]
}

// === impl Members ===

impl Members {
    async fn show(self, path: &str, key: &str, row: fn(&Value) -> Row) -> Result<(), Failure> {
        let settings = self.connection.settings()?;
        let format = self.output.format.unwrap_or(settings.format);
        let gateway = Gateway::open(settings).await?;
        let found = gateway.get(path).await?.json()?;
        match format {
            Format::Tabular => {
                let id = ["Header", "header"].iter().find_map(|header| found[*header]["cluster_id"].as_u64());
                let rows: Vec<Row> = list(&found[key]).iter().map(row).collect();
                let mut table =
                    Table::new(row(&Value::Null).into_iter().map(|(title, _)| Heading::whole(title)));
                for row in rows {
                    table.push(row.into_iter().map(|(_, cell)| cell));
                }
                let id = id.map(|id| format!("Etcd Cluster ID: {id:x}\n")).unwrap_or_default();
                print(&format!("{id}{}", table.render(&Look::stdout())))
            }
            Format::Yaml => print(&yaml_text(&found)),
            // sensuctl shows the members by themselves.
            Format::Json | Format::WrappedJson if key == "ClusterHealth" => {
                print(&format!("{}\n", pretty(&found[key])))
            }
            Format::Json | Format::WrappedJson => print(&format!("{}\n", pretty(&found))),
        }
    }
}
