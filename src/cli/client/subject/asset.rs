use std::cmp::Ordering;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::wrong;
use crate::cli::{
    Failure,
    client::{
        document::Document,
        fetch::Fetcher,
        http::Gateway,
        options::Connection,
        value::{list, text},
        yaml,
    },
    output::report,
};

/// `fedgate asset …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AssetCommand {
    /// Create an asset, or replace it, as Bonsai defines it
    Add(Add),
}

/// `fedgate asset add`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// Its name in Bonsai, as in sensu/http-checks or sensu/http-checks:0.5.0
    #[arg(value_name = "NAME")]
    name: String,
    /// What to call it
    #[arg(long, short, value_name = "NAME")]
    rename: Option<String>,
    /// Where Bonsai is, or a copy of it
    #[arg(long, value_name = "URL", default_value = BONSAI)]
    bonsai_url: String,
    #[command(flatten)]
    connection: Connection,
}

// === impl AssetCommand ===

impl AssetCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self::Add(add) = self;
        add.run().await
    }
}

// === impl Add ===

impl Add {
    async fn run(self) -> Result<(), Failure> {
        let (name, version) = self
            .name
            .split_once(':')
            .map_or((self.name.as_str(), None), |(name, version)| (name, Some(version)));
        let is_segment = |part: &str| !matches!(part, "" | "." | "..");
        let (owner, asset) = name
            .split_once('/')
            .filter(|(owner, asset)| is_segment(owner) && is_segment(asset) && !asset.contains('/'))
            .ok_or_else(|| wrong(format!("{name:?} must be a name in Bonsai, such as sensu/http-checks")))?;
        let settings = self.connection.settings()?;
        let fetcher = Fetcher::new(settings.timeout);
        let url = format!("{}/{}/{}", self.bonsai_url.trim_end_matches('/'), escaped(owner), escaped(asset));
        let found = fetch(&fetcher, &url).await?;
        let found: Value = serde_json::from_str(&found).map_err(|_| broken(&url, "is no JSON"))?;
        let versions: Vec<String> = list(&found["versions"]).iter().map(|it| text(&it["version"])).collect();
        let version = chosen(&versions, version).ok_or_else(|| {
            Failure::new(1, format!("Bonsai has {name} in the versions {}", versions.join(", ")))
        })?;
        let url = format!("{url}/{}/release_asset_builds", escaped(version));
        let mut value =
            yaml::read(&fetch(&fetcher, &url).await?).map_err(|error| broken(&url, &error.what))?;
        value["metadata"]["name"] = self.rename.as_deref().unwrap_or(name).into();
        let parsed = Document::parse(value, &settings.namespace);
        let mut document = parsed.map_err(|what| broken(&url, &what.to_string()))?;
        if document.kind.type_name != "Asset" {
            return Err(broken(&url, "is no asset"));
        }
        document.label_as_managed();
        let gateway = Gateway::open(settings).await?;
        let done = gateway.put(&document.path(), &document.body()).await;
        done.map_err(|failure| failure.with_context(&document.to_string()))?;
        report(&format!("applied {document}, version {version} of {name}\n"));
        Ok(())
    }
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<String, Failure> {
    fetcher.fetch(url).await.map_err(|what| Failure::new(1, format!("{url}: {what}")))
}

fn broken(url: &str, what: &str) -> Failure {
    Failure::new(1, format!("the answer of {url} {what}: is it Bonsai's API?"))
}

/// The version that is wanted, or the latest.
fn chosen<'a>(versions: &'a [String], wanted: Option<&str>) -> Option<&'a str> {
    let found = match wanted {
        Some(wanted) => versions.iter().find(|version| bare(version) == bare(wanted)),
        None => versions.iter().max_by(|a, b| order(a, b)),
    };
    found.map(String::as_str)
}

fn bare(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

/// By their numbers; one with a suffix, such as `-rc.1`, comes before the one without.
fn order(a: &str, b: &str) -> Ordering {
    let parts = |version: &str| {
        let (numbers, suffix) = match bare(version).split_once('-') {
            Some((numbers, suffix)) => (numbers.to_owned(), Some(suffix.to_owned())),
            None => (bare(version).to_owned(), None),
        };
        let numbers: Vec<u64> = numbers.split('.').map(|number| number.parse().unwrap_or(0)).collect();
        (numbers, suffix.is_none(), suffix)
    };
    parts(a).cmp(&parts(b))
}

fn escaped(segment: &str) -> String {
    utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string()
}

const BONSAI: &str = "https://bonsai.sensu.io/api/v1/assets";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_version_is_that_of_the_highest_numbers() {
        let versions = ["0.9.0", "v0.10.0", "0.10.1-rc.1", "0.2"].map(str::to_owned);
        assert_eq!(chosen(&versions, None), Some("0.10.1-rc.1"));
        assert_eq!(chosen(&versions[..2], None), Some("v0.10.0"));
        assert_eq!(chosen(&["1.0.0-rc.1", "1.0.0"].map(str::to_owned), None), Some("1.0.0"));
        assert_eq!(chosen(&versions, Some("0.10.0")), Some("v0.10.0"));
        assert_eq!(chosen(&versions, Some("3")), None);
        assert_eq!(chosen(&[], None), None);
    }
}
