//! Who holds tokens, with which software, and what the sources of the records tell.

/// The provider that records an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Native,
    Okta,
    Entra,
    Github,
    Vault,
}

impl Source {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Okta => "okta",
            Self::Entra => "entra",
            Self::Github => "github",
            Self::Vault => "vault",
        }
    }

    /// How often (in a thousand) a record tells the device.
    pub const fn device_share(self) -> u64 {
        match self {
            Self::Native | Self::Entra => 1000,
            Self::Okta => 300,
            Self::Github | Self::Vault => 0,
        }
    }

    /// Whether a record tells the host.
    pub const fn tells_host(self) -> bool {
        matches!(self, Self::Native | Self::Vault)
    }
}

/// Whose token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Human,
    Service,
    Agent,
}

/// A program that holds a token.
#[derive(Debug)]
pub struct Client {
    pub id: &'static str,
    pub kind: &'static str,
    pub source: Source,
    /// Its user agent, and that of another tool that uses the same token.
    pub agents: [&'static str; 2],
    /// How long a grant lives, days.
    pub lifetime: i64,
}

const fn client(
    id: &'static str,
    kind: &'static str,
    source: Source,
    agents: [&'static str; 2],
    lifetime: i64,
) -> Client {
    Client { id, kind, source, agents, lifetime }
}

/// Programs. People's everyday ones first, then those they rarely need, FOCI's others, and those of machines.
pub static CLIENTS: [Client; 24] = [
    client("gh", "cli", Source::Github, ["gh/2.61.0", "git-credential-manager/2.6.1"], 60),
    client("kubectl", "cli", Source::Okta, ["kubectl/1.34.1", "k9s/0.50.9"], 21),
    client("az", "cli", Source::Entra, ["az/2.78.0", "vscode-azure/1.9.2"], 30),
    client("aws", "cli", Source::Okta, ["aws-cli/2.31.4", "terraform-provider-aws/6.14.1"], 21),
    client("gcloud", "cli", Source::Native, ["gcloud/541.0.0", "gsutil/5.35"], 30),
    client("claude", "cli", Source::Native, ["claude/2.0.31", "claude-vscode/2.0.31"], 30),
    client("codex", "cli", Source::Github, ["codex/0.52.0", "codex-jetbrains/0.52.0"], 30),
    client("copilot", "cli", Source::Github, ["copilot/0.0.342", "copilot-intellij/1.5.58"], 30),
    client("glab", "cli", Source::Github, ["glab/1.74.0", "git-lab-helper/0.3"], 180),
    client("vault", "cli", Source::Okta, ["vault/1.20.4", "vault-helper/0.2"], 180),
    client("heroku", "cli", Source::Native, ["heroku-cli/10.15.0", "heroku-api/1.0"], 180),
    client("flyctl", "cli", Source::Native, ["flyctl/0.3.209", "fly-sdk/0.1"], 180),
    client("npm", "cli", Source::Github, ["npm/11.6.1", "yarn/4.10.3"], 180),
    client("doctl", "cli", Source::Entra, ["doctl/1.146.0", "godo/1.165.1"], 180),
    client("azure-powershell", "cli", Source::Entra, ["azure-powershell/14.5.0", "az/2.78.0"], 30),
    client("vscode-azure", "cli", Source::Entra, ["vscode-azure/1.9.2", "az/2.78.0"], 30),
    client("argocd", "service", Source::Native, ["argocd/3.1.9", "argocd-image-updater/0.17.0"], 45),
    client("terraform", "service", Source::Vault, ["terraform/1.13.4", "atlantis/0.36.0"], 60),
    client("sync", "service", Source::Entra, ["msgraph-sync/1.42.0", "msgraph-sync/1.42.0"], 60),
    client("gateway", "service", Source::Native, ["envoy/1.36.2", "envoy/1.36.2"], 60),
    client("backup", "service", Source::Vault, ["restic/0.18.1", "restic/0.18.1"], 180),
    client("report", "service", Source::Entra, ["report-job/4.2.0", "report-job/4.2.0"], 180),
    client("assistant", "agent", Source::Native, ["assistant-agent/2.0.31", "mcp-client/1.20.0"], 14),
    client("actions", "ci", Source::Github, ["actions-runner/2.329.0", "actions-runner/2.329.0"], 14),
];

/// Everyday programs, rarely needed ones, and those that share a grant with `az`.
pub const EVERYDAY: std::ops::Range<u8> = 0..8;
pub const RARE: std::ops::Range<u8> = 8..14;
pub const AZ: u8 = 2;
pub const AZ_FAMILY: [u8; 3] = [AZ, 14, 15];
/// Programs of machines.
pub const STEADY: [u8; 3] = [16, 17, 18];
pub const TWINS: u8 = 19;
pub const NIGHTLY: u8 = 20;
pub const MONTHLY: u8 = 21;
pub const ASSISTANT: u8 = 22;
pub const RUNNER: u8 = 23;

/// User agents of those who found a token and wrote a script.
pub static SCRIPTS: [&str; 5] =
    ["python-requests/2.32.5", "curl/8.16.0", "Go-http-client/2.0", "axios/1.12.2", "okhttp/5.1.0"];
