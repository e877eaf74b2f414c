//! A folder beside the lake's tables, for what runs keep from each other and what can always be made again.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};

use crate::clock;
use crate::lake::{Lake, LakeError};
use crate::query::QueryError;

/// Files stay this long after newer ones, for runs that began before those.
pub const KEPT_MS: i64 = 3_600_000;

/// One folder.
#[derive(Debug)]
pub struct Shelf {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    root: String,
}

impl Shelf {
    /// The folder `name` under LAKE/folds.
    pub fn new(lake: &Lake, name: &str) -> Result<Self, QueryError> {
        let (store, root) = lake.events().root_store();
        let base = Path::from_url_path(lake.uri().path()).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let folder = if name.is_empty() { base.join("folds") } else { base.join("folds").join(name) };
        Ok(Self { store, folder, root: root[..url::Position::BeforePath].to_owned() })
    }

    /// Where a session finds a file.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{}", self.root, self.folder.clone().join(name))
    }

    /// Everything in the folder and below it; nothing if it is not there.
    pub async fn list(&self) -> Result<Vec<ObjectMeta>, QueryError> {
        match self.store.list(Some(&self.folder)).try_collect().await {
            Ok(listed) => Ok(listed),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(cause) => Err(LakeError::Storage { doing: format!("listing {}", self.folder), cause }.into()),
        }
    }

    /// A file's content; `None` if it is gone.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, QueryError> {
        let path = self.folder.clone().join(name);
        let failed = |cause| LakeError::Storage { doing: format!("reading {path}"), cause };
        match self.store.get(&path).await {
            Ok(got) => Ok(Some(got.bytes().await.map_err(failed)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(failed(cause).into()),
        }
    }

    /// Puts a whole file in place: local ones are written beside and renamed.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), QueryError> {
        let path = self.folder.clone().join(name);
        let put = self.store.put(&path, bytes.into()).await;
        put.map_err(|cause| LakeError::Storage { doing: format!("writing {path}"), cause })?;
        Ok(())
    }

    /// Deletes what is old and not among the files whose names begin so.
    pub async fn tidy(&self, current: &str) -> Result<(), QueryError> {
        let now_ms = clock::now_micros() / 1000;
        for meta in self.list().await? {
            let is_current = meta.location.filename().is_some_and(|name| name.starts_with(current));
            let is_old = !is_current && meta.last_modified.timestamp_millis() + KEPT_MS < now_ms;
            if is_old {
                self.let_go(&meta).await;
            }
        }
        Ok(())
    }

    /// Deletes a file that something else stands for now; if it stays, it does no harm.
    pub async fn let_go(&self, meta: &ObjectMeta) {
        if let Err(error) = self.store.delete(&meta.location).await {
            tracing::debug!(%error, "a file that was replaced could not be deleted");
        }
    }

    /// Deletes every file of the folders in this one whose names begin so.
    pub async fn clear(&self, begin: &str) -> Result<(), QueryError> {
        let is_in = |meta: &&ObjectMeta| {
            let below = meta.location.prefix_match(&self.folder).and_then(|mut parts| parts.next());
            below.is_some_and(|folder| folder.as_ref().starts_with(begin))
        };
        for meta in self.list().await?.iter().filter(is_in) {
            let deleted = self.store.delete(&meta.location).await;
            deleted.map_err(|cause| LakeError::Storage { doing: format!("deleting {}", meta.location), cause })?;
        }
        Ok(())
    }
}
