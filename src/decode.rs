//! Bytes to events or a rejection: pure, total, one decoder per format.
//!
//! A decoder never panics and never drops a record: what it cannot read it rejects, with a reason that names the field.
//! Our own records take the shortest way ([`decode_native`]); those of providers are parsed to a tree ([`json`]), taken out
//! of what stands around them ([`envelope`]), told apart by their shape ([`recognise`]) and read by their provider's
//! decoder with the help of [`fields`].

pub mod anthropic;
pub mod auth0;
pub mod aws;
pub mod databricks;
pub mod entra;
pub mod envelope;
pub mod fields;
pub mod github;
pub mod google_workspace;
pub mod json;
pub mod jumpcloud;
pub mod keycloak;
pub mod mapping;
pub mod native;
pub mod ocsf;
pub mod okta;
pub mod onelogin;
pub mod openai;
pub mod pingfederate;
pub mod recognise;
mod row;
pub mod secrets;
pub mod slack;
pub mod ssf;
pub mod teleport;
pub mod times;
pub mod vault;

use std::borrow::Cow;
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::event::{Action, Event, Rejection};
use envelope::{Content, Leaf};
use recognise::{Owner, Provider};

/// Longest text a field may have, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Most scopes one event may have.
pub const SCOPES_MAX: usize = 1024;
/// Deepest nesting of a JSON record.
pub const DEPTH_MAX: usize = 128;
/// Most events that one record of a provider may hold. (An envelope may hold [`envelope::RECORDS_MAX`] records.)
pub const EVENTS_MAX: usize = 4096;

macro_rules! formats {
    ($($variant:ident = $module:ident),+ $(,)?) => {
        /// The format of a source's records.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum Format {
            /// Tokentrail's own format.
            #[default]
            Native,
            /// Any format, recognised by shape record by record.
            Auto,
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $variant),+
        }

        /// The decoders of providers.
        pub static PROVIDERS: &[Provider] = &[$(Provider {
            name: stringify!($module),
            shape: $module::SHAPE,
            is_mine: $module::is_mine,
            decode: $module::decode,
        }),+];

        impl Format {
            /// Every format.
            pub const ALL: &[Self] = &[Self::Auto, Self::Native, $(Self::$variant),+];

            /// As it is spelled on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { Self::Native => "native", Self::Auto => "auto", $(Self::$variant => stringify!($module)),+ }
            }
        }
    };
}

formats! {
    Okta = okta, Entra = entra, Auth0 = auth0, Keycloak = keycloak, GoogleWorkspace = google_workspace, Aws = aws,
    Github = github, Vault = vault, Ssf = ssf, Ocsf = ocsf, Jumpcloud = jumpcloud, Pingfederate = pingfederate,
    Slack = slack, Teleport = teleport, Databricks = databricks, Onelogin = onelogin, Openai = openai,
    Anthropic = anthropic,
}

impl Format {
    /// The format spelled `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.as_str() == name)
    }

    /// The provider's decoder, if this is a provider's format.
    pub fn provider(self) -> Option<&'static Provider> {
        PROVIDERS.iter().find(|provider| provider.name == self.as_str())
    }
}

/// The SHA-256 that identifies a record.
pub fn hash(record: &[u8]) -> [u8; 32] {
    Sha256::digest(record).into()
}

/// What became of a record, or of one of those inside it.
pub struct Found<'e> {
    pub verdict: Verdict<'e>,
    /// The bytes of the record that this was decoded from: its evidence.
    pub piece: Range<usize>,
    /// The SHA-256 of these bytes,
    pub hash: &'e [u8; 32],
    /// and which one of them it is, from 0. Equal hash and index: the same again.
    pub index: i32,
}

/// What became of it.
pub enum Verdict<'e> {
    Event(&'e Event<'e>),
    /// Why it gives no event, and what of one could be read.
    Rejected(&'e Rejection, Option<&'e Event<'e>>),
    /// Why there is nothing to keep.
    Skipped(&'static str),
}

/// Decodes one record of Tokentrail's own format into `event`, whose content before does not matter, if it is one as
/// producers write it nearly always; `None`: [`each`] says what it is. `record_hash` is its [`hash`].
pub fn decode_native<'a>(
    format: Format,
    record: &'a [u8],
    record_hash: &[u8; 32],
    event: &mut Event<'a>,
) -> Option<Result<(), Rejection>> {
    let result = match format {
        Format::Native => native::decode(record, event),
        Format::Auto => native::decode_plain(record, event)?,
        _ => return None,
    };
    Some(result.map(|()| event.complete(record_hash)))
}

/// Decodes one record and shows everything that is in it, in order. `record_hash` is its [`hash`].
pub fn each(format: Format, record: &[u8], record_hash: &[u8; 32], show: &mut dyn FnMut(Found<'_>)) {
    let mut decoding = Decoding::new(record, record_hash, show);
    if format == Format::Native {
        decoding.native(record, 0..record.len());
        return;
    }
    envelope::open(record, format, &mut |leaf| decoding.leaf(leaf));
}

/// Decodes one record of Tokentrail's own format.
///
/// # Errors
/// A [`Rejection`] says which field is wrong and what was expected there.
pub fn decode<'a>(record: &'a [u8], record_hash: &[u8; 32]) -> Result<Event<'a>, Rejection> {
    let mut event = Event::new(0, Action::Other);
    native::decode(record, &mut event)?;
    event.complete(record_hash);
    Ok(event)
}

/// One record while it is decoded: which of its bytes are at hand, and how many verdicts they gave.
struct Decoding<'r, 'v> {
    record: &'r [u8],
    record_hash: &'r [u8; 32],
    piece: Range<usize>,
    hash: [u8; 32],
    index: i32,
    started: bool,
    show: &'v mut dyn FnMut(Found<'_>),
}

impl<'r, 'v> Decoding<'r, 'v> {
    fn new(record: &'r [u8], record_hash: &'r [u8; 32], show: &'v mut dyn FnMut(Found<'_>)) -> Self {
        Self { record, record_hash, piece: 0..0, hash: *record_hash, index: 0, started: false, show }
    }
}

impl Decoding<'_, '_> {
    fn leaf(&mut self, leaf: Leaf<'_>) {
        match leaf.content {
            // What was meant to be a record of our own is best explained by its own reader.
            Content::Unreadable(_) if native::is_meant(self.record) => self.native(self.record, leaf.piece),
            Content::Unreadable(rejection) | Content::Broken(rejection) => {
                self.tell(Verdict::Rejected(&rejection, None), leaf.piece)
            }
            Content::Empty => self.tell(Verdict::Skipped("an envelope with nothing inside"), leaf.piece),
            Content::Record { text, owner: Owner::Native, .. } => self.native(text.as_bytes(), leaf.piece),
            Content::Record { record, text, owner: Owner::Provider(provider) } => {
                let mut events = Vec::new();
                let mut result = (provider.decode)(record, &mut events);
                if result.is_ok() && events.is_empty() {
                    result = Err(Rejection(format!("{}: no event in this record", provider.name)));
                }
                let own_hash = self.hash_of(text.as_bytes());
                finish(&mut events, provider.name, &own_hash);
                match result {
                    Err(rejection) => self.tell(Verdict::Rejected(&rejection, events.first()), leaf.piece),
                    Ok(()) => events.iter().for_each(|event| self.tell(Verdict::Event(event), leaf.piece.clone())),
                }
            }
        }
    }

    fn native(&mut self, text: &[u8], piece: Range<usize>) {
        let mut event = Event::new(0, Action::Other);
        match native::decode(text, &mut event) {
            Ok(()) => {
                event.complete(&self.hash_of(text));
                self.tell(Verdict::Event(&event), piece);
            }
            Err(rejection) => self.tell(Verdict::Rejected(&rejection, None), piece),
        }
    }

    fn hash_of(&self, text: &[u8]) -> [u8; 32] {
        if text.len() == self.record.len() { *self.record_hash } else { hash(text) }
    }

    fn tell(&mut self, verdict: Verdict<'_>, piece: Range<usize>) {
        if self.started && piece == self.piece {
            self.index += 1;
        } else {
            self.hash = self.hash_of(self.record.get(piece.clone()).unwrap_or_default());
            (self.index, self.piece, self.started) = (0, piece.clone(), true);
        }
        (self.show)(Found { verdict, piece, hash: &self.hash, index: self.index });
    }
}

/// What holds for the events of every source: its name, ids of their own, text within limits.
fn finish<'a>(events: &mut [Event<'a>], source: &'a str, own_hash: &[u8; 32]) {
    for event in events.iter_mut() {
        event.source.get_or_insert(Cow::Borrowed(source));
        limit(event);
        event.complete(own_hash);
    }
    // Several events of one record have one id at the provider; here each needs its own, the same whenever it comes again.
    for later in (1..events.len()).rev() {
        let (before, rest) = events.split_at_mut(later);
        let Some(event) = rest.first_mut() else { continue };
        let id = event.event_id.as_deref().unwrap_or_default();
        if before.iter().any(|earlier| earlier.event_id.as_deref() == Some(id)) {
            event.event_id = Some(Cow::Owned(format!("{id}#{later}")));
        }
    }
}

/// Text beyond [`TEXT_BYTES_MAX`] is left out, and said so.
fn limit(event: &mut Event<'_>) {
    let mut notes = Vec::new();
    for (name, text) in event.stated_texts_mut() {
        if let Some(length) = text.as_ref().map(|text| text.len()).filter(|length| *length > TEXT_BYTES_MAX) {
            notes.push(format!("{name}: {length} bytes long; at most {TEXT_BYTES_MAX} are kept"));
            *text = None;
        }
    }
    let scopes = event.scopes.len();
    event.scopes.retain(|scope| scope.len() <= TEXT_BYTES_MAX);
    if event.scopes.len() < scopes {
        notes.push(format!("scopes: longer than {TEXT_BYTES_MAX} bytes"));
    }
    if !notes.is_empty() {
        let stated = event.decode_notes.take();
        event.decode_notes = Some(Cow::Owned(
            stated.into_iter().chain(notes.into_iter().map(Cow::Owned)).collect::<Vec<_>>().join("; "),
        ));
    }
}
