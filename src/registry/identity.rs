use uuid::Uuid;

use super::{Precondition, Store, StoreError};

/// The identity of a store, by which what its gateways have written elsewhere is told from what others have. A store that
/// has none gets one.
pub async fn store_id(store: &dyn Store) -> Result<String, StoreError> {
    loop {
        if let Some(entry) = store.get(STORE_ID).await? {
            return Ok(String::from_utf8_lossy(&entry.value).into_owned());
        }
        let new = Uuid::new_v4().simple().to_string();
        match store.put(STORE_ID, new.into(), Precondition::Absent).await {
            // Another gateway may have been faster: what was written is read back.
            Ok(_) | Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where the identity is kept.
pub const STORE_ID: &str = "replication/id";
