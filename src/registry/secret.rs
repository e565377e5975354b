use std::fmt;

use bytes::Bytes;

use super::{Precondition, Store, StoreError};

/// 32 random bytes that all gateways of one store share: they sign what a client hands back.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

// === impl Secret ===

impl Secret {
    /// The store's secret; the first gateway to ask makes it.
    pub async fn get_or_create(store: &dyn Store) -> Result<Self, StoreError> {
        for _ in 0..2 {
            if let Some(entry) = store.get(KEY).await? {
                let bytes = entry.value.as_ref().try_into();
                return bytes
                    .map(Self)
                    .map_err(|_| StoreError::unavailable("the secret in the store is not 32 bytes long"));
            }
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes)
                .map_err(|_| StoreError::unavailable("the system gave no random bytes"))?;
            match store.put(KEY, Bytes::copy_from_slice(&bytes), Precondition::Absent).await {
                Ok(_) => return Ok(Self(bytes)),
                // Another gateway was faster: its secret counts.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// The bytes, for a MAC.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

const KEY: &str = "secrets/continue";
