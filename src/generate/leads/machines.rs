//! The machines tokens are used on.

use super::world::World;

/// A machine as the sources see it: any of the two ids may be missing on the machine itself, or not be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub device: Option<u32>,
    pub host: Option<u32>,
    pub host_kind: HostKind,
}

/// What sort of host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostKind {
    #[default]
    Workstation,
    Server,
    Container,
    Runner,
}

impl HostKind {
    /// Its spelling, and how the names of such hosts begin.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Workstation => ("workstation", "wks-"),
            Self::Server => ("server", "srv-"),
            Self::Container => ("container", "ctr-"),
            Self::Runner => ("ci_runner", "run-"),
        }
    }
}

impl Machine {
    /// A laptop: registered, and with a name of its own.
    pub fn laptop(world: &mut World) -> Self {
        let number = world.machine();
        Self { device: Some(number), host: Some(number), host_kind: HostKind::Workstation }
    }

    /// A host that nobody registered.
    pub fn host(host_kind: HostKind, world: &mut World) -> Self {
        Self { device: None, host: Some(world.machine()), host_kind }
    }
}
