//! RSA signatures by keys that are too short for the cryptographic library (RFC 8017 §8.1.2 and §8.2.2).
//!
//! Everything here is public, so nothing has to take the same time. What a valid signature proves is little with such keys:
//! it is asked for where any certificate is accepted, so that a server at least holds the key of the one it shows.

use aws_lc_rs::digest::{Algorithm, Context, Digest, SHA256, SHA384, SHA512, digest};
use num_bigint::BigUint;
use rustls::SignatureScheme;

/// A public key of 1,024 bits and more, as Go takes them.
pub(super) struct ShortKey {
    modulus: BigUint,
    exponent: BigUint,
}

enum Padding {
    /// With the start of the `DigestInfo` of the hash.
    Pkcs1(&'static [u8]),
    Pss,
}

// === impl ShortKey ===

impl ShortKey {
    /// From big-endian numbers. `None` when they are no key, or would take long to reckon with.
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let (modulus, exponent) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
        let is_key = (MIN_BITS..MAX_BITS).contains(&modulus.bits())
            && (2..=MAX_EXPONENT_BITS).contains(&exponent.bits())
            && modulus.bit(0)
            && exponent.bit(0);
        is_key.then_some(Self { modulus, exponent })
    }

    /// Whether the key has made the signature.
    pub(super) fn has_signed(&self, scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> bool {
        self.verify(scheme, message, signature).is_some()
    }

    fn verify(&self, scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> Option<()> {
        let (hash, padding) = scheme_parts(scheme)?;
        let value = BigUint::from_bytes_be(signature);
        let length = usize::try_from(self.modulus.bits().div_ceil(8)).ok()?;
        if signature.len() != length || value >= self.modulus {
            return None;
        }
        let encoded = value.modpow(&self.exponent, &self.modulus);
        match padding {
            Padding::Pkcs1(info) => {
                let expected = pkcs1(info, &digest(hash, message), length)?;
                (left_padded(&encoded, length)? == expected).then_some(())
            }
            Padding::Pss => {
                let bits = usize::try_from(self.modulus.bits()).ok()? - 1;
                let encoded = left_padded(&encoded, bits.div_ceil(8))?;
                verify_pss(hash, message, encoded, bits)
            }
        }
    }
}

fn scheme_parts(scheme: SignatureScheme) -> Option<(&'static Algorithm, Padding)> {
    Some(match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => (&SHA256, Padding::Pkcs1(SHA256_INFO)),
        SignatureScheme::RSA_PKCS1_SHA384 => (&SHA384, Padding::Pkcs1(SHA384_INFO)),
        SignatureScheme::RSA_PKCS1_SHA512 => (&SHA512, Padding::Pkcs1(SHA512_INFO)),
        SignatureScheme::RSA_PSS_SHA256 => (&SHA256, Padding::Pss),
        SignatureScheme::RSA_PSS_SHA384 => (&SHA384, Padding::Pss),
        SignatureScheme::RSA_PSS_SHA512 => (&SHA512, Padding::Pss),
        _ => return None,
    })
}

/// `None` when the number is longer.
fn left_padded(number: &BigUint, length: usize) -> Option<Vec<u8>> {
    let bytes = number.to_bytes_be();
    let mut padded = vec![0; length.checked_sub(bytes.len())?];
    padded.extend(bytes);
    Some(padded)
}

/// EMSA-PKCS1-v1_5 (RFC 8017 §9.2): the one encoding that there is, so nothing has to be read.
fn pkcs1(info: &[u8], hash: &Digest, length: usize) -> Option<Vec<u8>> {
    let filling = length.checked_sub(info.len() + hash.as_ref().len() + 3).filter(|filling| *filling >= 8)?;
    Some([&[0, 1][..], &vec![0xff; filling], &[0], info, hash.as_ref()].concat())
}

/// EMSA-PSS (RFC 8017 §9.1.2) with MGF1 of the same hash and a salt of its length, as TLS has it (RFC 8446 §4.2.3).
fn verify_pss(hash: &'static Algorithm, message: &[u8], mut encoded: Vec<u8>, bits: usize) -> Option<()> {
    let length = hash.output_len();
    let zeros = encoded.len().checked_sub(2 * length + 2)?;
    let unused = encoded.len() * 8 - bits;
    if encoded.pop()? != 0xbc || encoded.first()?.leading_zeros() < u32::try_from(unused).ok()? {
        return None;
    }
    let expected = encoded.split_off(encoded.len() - length);
    for (byte, mask) in encoded.iter_mut().zip(mgf1(hash, &expected)) {
        *byte ^= mask;
    }
    *encoded.first_mut()? &= 0xff >> unused;
    let (filling, salt) = encoded.split_at(zeros + 1);
    let (one, zeros) = filling.split_last()?;
    if *one != 1 || zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    let mut context = Context::new(hash);
    for part in [&[0; 8][..], digest(hash, message).as_ref(), salt] {
        context.update(part);
    }
    (context.finish().as_ref() == expected).then_some(())
}

/// The bytes of the mask, without end (RFC 8017 appendix B.2.1).
fn mgf1(hash: &'static Algorithm, seed: &[u8]) -> impl Iterator<Item = u8> {
    (0_u32..).flat_map(move |counter| {
        let mut context = Context::new(hash);
        context.update(seed);
        context.update(&counter.to_be_bytes());
        context.finish().as_ref().to_vec()
    })
}

/// Go takes no shorter ones either.
const MIN_BITS: u64 = 1024;
/// The library takes them from here on.
const MAX_BITS: u64 = 2048;
/// As long as any in use; more only costs time.
const MAX_EXPONENT_BITS: u64 = 33;

/// `DigestInfo` up to the hash itself (RFC 8017 §9.2, note 1).
const SHA256_INFO: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
const SHA384_INFO: &[u8] =
    &[0x30, 0x41, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 5, 0, 4, 0x30];
const SHA512_INFO: &[u8] =
    &[0x30, 0x51, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 0x40];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &[u8] = b"what was said in the handshake";

    fn openssl(directory: &Path, arguments: &str) -> Vec<u8> {
        let done =
            Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }

    /// A key pair in `key.pem`; returns what can be known of it.
    fn generate(directory: &Path, bits: u32, exponent: u32) -> ShortKey {
        openssl(
            directory,
            &format!(
                "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits} -pkeyopt rsa_keygen_pubexp:{exponent} -out key.pem"
            ),
        );
        let modulus = String::from_utf8(openssl(directory, "rsa -in key.pem -noout -modulus")).unwrap();
        let modulus = modulus.trim().strip_prefix("Modulus=").unwrap();
        let modulus = BigUint::parse_bytes(modulus.as_bytes(), 16).unwrap().to_bytes_be();
        ShortKey::new(&modulus, &exponent.to_be_bytes()).unwrap()
    }

    fn sign(directory: &Path, scheme: SignatureScheme) -> Vec<u8> {
        fs::write(directory.join("message"), MESSAGE).unwrap();
        let (hash, padding) = scheme_parts(scheme).unwrap();
        let hash = format!("{hash:?}").to_lowercase();
        let options = match padding {
            Padding::Pkcs1(_) => "",
            Padding::Pss => " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
        };
        openssl(directory, &format!("dgst -{hash} -sign key.pem{options} message"))
    }

    const SCHEMES: [SignatureScheme; 6] = [
        SignatureScheme::RSA_PKCS1_SHA256,
        SignatureScheme::RSA_PKCS1_SHA384,
        SignatureScheme::RSA_PKCS1_SHA512,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RSA_PSS_SHA512,
    ];

    #[test]
    fn what_openssl_signs_is_verified_and_nothing_that_differs_from_it() {
        let directory = tempfile::tempdir().unwrap();
        // Lengths at which the encoding of PSS begins with different numbers of unused bits.
        for (bits, exponent) in [(1024, 65_537), (1025, 3), (1031, 65_537), (1536, 17)] {
            let key = generate(directory.path(), bits, exponent);
            for scheme in SCHEMES {
                if bits < 1034 && scheme == SignatureScheme::RSA_PSS_SHA512 {
                    // Hash and salt do not fit.
                    continue;
                }
                let good = sign(directory.path(), scheme);
                assert!(key.has_signed(scheme, MESSAGE, &good), "{bits} {scheme:?}");
                assert!(!key.has_signed(scheme, b"something else", &good));
                for other in SCHEMES.into_iter().filter(|other| *other != scheme) {
                    assert!(!key.has_signed(other, MESSAGE, &good), "{bits} {scheme:?} {other:?}");
                }
                for at in (0..good.len()).step_by(17) {
                    let mut bad = good.clone();
                    bad[at] ^= 1;
                    assert!(!key.has_signed(scheme, MESSAGE, &bad), "{bits} {scheme:?} {at}");
                }
                let longer = [&[0][..], &good].concat();
                assert!(!key.has_signed(scheme, MESSAGE, &longer));
                // The same number modulo the modulus.
                let twin = (BigUint::from_bytes_be(&good) + &key.modulus).to_bytes_be();
                assert!(!key.has_signed(scheme, MESSAGE, &twin));
            }
        }
        let (last, other) = (sign(directory.path(), SCHEMES[3]), generate(directory.path(), 1536, 17));
        assert!(!other.has_signed(SCHEMES[3], MESSAGE, &last), "another key of the same length");
    }

    #[test]
    fn numbers_that_are_no_key_are_refused() {
        let modulus = |bits: usize, last: u8| {
            let mut bytes = vec![0xff; bits / 8];
            *bytes.last_mut().unwrap() = last;
            bytes
        };
        assert!(ShortKey::new(&modulus(1024, 1), &[1, 0, 1]).is_some());
        for (modulus, exponent) in [
            (modulus(1016, 1), vec![1, 0, 1]),
            (modulus(2048, 1), vec![1, 0, 1]),
            (modulus(1024, 2), vec![1, 0, 1]),
            (modulus(1024, 1), vec![1]),
            (modulus(1024, 1), vec![2]),
            (modulus(1024, 1), vec![]),
            (modulus(1024, 1), vec![0xff; 5]),
            (vec![], vec![3]),
            (vec![0; 128], vec![3]),
        ] {
            assert!(ShortKey::new(&modulus, &exponent).is_none(), "{modulus:?} {exponent:?}");
        }
    }

    proptest! {
        #[test]
        fn no_key_and_no_signature_can_do_harm(
            modulus in prop::collection::vec(any::<u8>(), 120..260),
            exponent in prop::collection::vec(any::<u8>(), 0..8),
            signature in prop::collection::vec(any::<u8>(), 0..260),
        ) {
            if let Some(key) = ShortKey::new(&modulus, &exponent) {
                for scheme in SCHEMES {
                    assert!(!key.has_signed(scheme, MESSAGE, &signature));
                }
            }
        }
    }
}
