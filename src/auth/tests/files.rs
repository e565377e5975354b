//! Which key files load, and what is said about the others.

use aws_lc_rs::{
    encoding::{AsBigEndian, AsDer, EcPrivateKeyRfc5915Der, EcPublicKeyCompressedBin},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RsaKeyPair,
    },
};

use super::{signing::pem, *};

fn public_error(text: &str) -> String {
    keys::parse_public(Path::new("/k.pem"), text.as_bytes()).unwrap_err().to_string()
}

fn private_error(text: &str) -> String {
    SigningKey::parse(Path::new("/k.pem"), text.as_bytes()).unwrap_err().to_string()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn p521() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap()
}

fn sec1(pair: &EcdsaKeyPair) -> String {
    let der: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
    pem("EC PRIVATE KEY", der.as_ref())
}

#[test]
fn public_keys_load_in_order_from_files_with_other_text_around_them() {
    let (a, b, c) = (pair(Curve::P256), pair(Curve::P384), pair(Curve::P256));
    let two = format!("# retired\n{}\r\n{}", a.public_pem().unwrap(), b.public_pem().unwrap());
    let files = [file(&two), file(&c.public_pem().unwrap().replace('\n', "\r\n"))];
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path().to_owned()).collect();
    let keys = KeyFiles::load(&paths).unwrap();
    let curves: Vec<Curve> = keys.iter().map(PublicKey::curve).collect();
    assert_eq!(curves, [Curve::P256, Curve::P384, Curve::P256]);
    for signing in [&a, &b, &c] {
        assert!(signing.fits(&keys));
    }
    assert!(!pair(Curve::P256).fits(&keys));
}

#[test]
fn byte_order_marks_before_keys_are_skipped() {
    let (a, b) = (pair(Curve::P256), pair(Curve::P384));
    let public = file(&format!("\u{feff}{}\u{feff}{}", a.public_pem().unwrap(), b.public_pem().unwrap()));
    let keys = KeyFiles::load(&[public.path().to_owned()]).unwrap();
    assert_eq!(keys.len(), 2);
    for pair in [a, b] {
        let private = file(&format!("\u{feff}{}", pair.private_pem().unwrap()));
        assert!(SigningKey::load(private.path(), &keys).is_ok());
    }
}

#[test]
fn a_bare_point_is_a_public_key() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let private = SigningKey::parse(Path::new("k"), sec1(&pair).as_bytes()).unwrap();
    let compressed: EcPublicKeyCompressedBin<'_> = pair.public_key().as_be_bytes().unwrap();
    let spki = pair.public_key().as_der().unwrap();
    for (label, der) in [
        ("EC PUBLIC KEY", pair.public_key().as_ref()),
        ("EC PUBLIC KEY", compressed.as_ref()),
        ("EC PUBLIC KEY", spki.as_ref()),
        ("PUBLIC KEY", spki.as_ref()),
    ] {
        let keys = keys::parse_public(Path::new("k"), pem(label, der).as_bytes()).unwrap();
        assert!(private.fits(&Keys::new(keys)), "{label} of {} bytes", der.len());
    }
}

#[test]
fn private_keys_load_from_pkcs8_and_sec1() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let keys = Keys::new(vec![PublicKey::from_der(pair.public_key().as_ref()).unwrap()]);
    let parameters = pem("EC PARAMETERS", &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    for text in [
        pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()),
        sec1(&pair),
        format!("{parameters}{}", sec1(&pair)),
    ] {
        let file = file(&text);
        let signing = SigningKey::load(file.path(), &keys).unwrap();
        let token = signing.mint(&MintClaims { exp: NOW + 9, sub: "x", groups: &[] }).unwrap();
        assert!(Verifier::new(keys.clone()).verify(&token, NOW).is_ok());
    }
    let generated = super::pair(Curve::P384);
    let again = SigningKey::parse(Path::new("k"), generated.private_pem().unwrap().as_bytes()).unwrap();
    assert!(again.fits(&keys_of(&[&generated])));
}

#[test]
fn a_private_key_without_its_public_half_is_refused() {
    let file = file(&pair(Curve::P256).private_pem().unwrap());
    let error = SigningKey::load(file.path(), &keys_of(&[&pair(Curve::P256)])).unwrap_err();
    assert!(matches!(&error, KeyError::NoMatch { path } if path == file.path()));
}

#[test]
fn a_file_of_another_kind_is_named_with_the_way_out() {
    let signing = pair(Curve::P256);
    let extract =
        "/k.pem is a private key; give the public one: openssl pkey -in /k.pem -pubout -out jwt_public.pem";
    assert_eq!(public_error(&signing.private_pem().unwrap()), extract);
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    assert_eq!(public_error(&sec1(&ec)), extract);
    assert_eq!(public_error(&pem("ENCRYPTED PRIVATE KEY", b"x")), extract);
    let certificate = rcgen::generate_simple_self_signed(vec!["x".into()]).unwrap().cert.pem();
    assert_eq!(
        public_error(&certificate),
        "/k.pem is a certificate; give its public key: openssl x509 -in /k.pem -noout -pubkey > jwt_public.pem"
    );
    assert_eq!(
        public_error(&pem("OPENSSH PRIVATE KEY", b"x")),
        r#"/k.pem holds "OPENSSH PRIVATE KEY", not -----BEGIN PUBLIC KEY-----"#
    );
    assert_eq!(
        private_error(&signing.public_pem().unwrap()),
        "/k.pem is a public key; tokens are signed with the private one"
    );
    assert_eq!(
        private_error(&pem("ENCRYPTED PRIVATE KEY", b"x")),
        "/k.pem is encrypted; store it without a passphrase: openssl pkey -in /k.pem -out jwt_private.pem"
    );
}

#[test]
fn keys_that_cannot_sign_es256_or_es384_are_named() {
    let text = |kind, tokens| {
        format!("/k.pem is {kind}: {tokens} tokens are not supported; use a P-256 or P-384 pair")
    };
    let es512 = text("a P-521 key", "ES512");
    let pair = p521();
    assert_eq!(public_error(&pem("PUBLIC KEY", pair.public_key().as_der().unwrap().as_ref())), es512);
    assert_eq!(private_error(&pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref())), es512);
    assert_eq!(private_error(&sec1(&pair)), es512);

    let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let rs256 = text("an RSA key", "RS256");
    assert_eq!(public_error(&pem("PUBLIC KEY", rsa.public_key().as_der().unwrap().as_ref())), rs256);
    assert_eq!(private_error(&pem("PRIVATE KEY", rsa.as_der().unwrap().as_ref())), rs256);
    assert_eq!(private_error(&pem("RSA PRIVATE KEY", b"x")), rs256);

    let ed = Ed25519KeyPair::generate().unwrap();
    let eddsa = text("an Ed25519 key", "EdDSA");
    assert_eq!(public_error(&pem("PUBLIC KEY", ed.public_key().as_der().unwrap().as_ref())), eddsa);
    assert_eq!(private_error(&pem("PRIVATE KEY", ed.to_pkcs8v1().unwrap().as_ref())), eddsa);
}

#[test]
fn a_file_without_a_readable_key_says_so_in_one_line_with_its_path() {
    assert_eq!(
        public_error(" \n"),
        "/k.pem is empty: it should hold a PEM block, -----BEGIN PUBLIC KEY-----"
    );
    assert_eq!(
        public_error("0\u{0}0\u{1}"),
        "/k.pem holds no PEM block: it should hold -----BEGIN PUBLIC KEY----- \
         (a DER file: openssl pkey -inform DER -pubin -in /k.pem -out key.pem)"
    );
    let whole = pair(Curve::P256).public_pem().unwrap();
    for damaged in [&whole[..whole.len() / 2], &whole.replace('\n', "\n!"), &pem("PUBLIC KEY", b"x")] {
        assert_eq!(public_error(damaged), "/k.pem is damaged: its PEM block cannot be read as a key");
    }
    let one_bad = format!("{whole}{}", pem("PUBLIC KEY", b"x"));
    assert!(public_error(&one_bad).contains("damaged"));

    let missing = KeyFiles::load(&["/nonexistent/jwt.pem".into()]).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read /nonexistent/jwt.pem: "), "{missing}");
    assert!(matches!(KeyFiles::load(&[]), Err(KeyError::NoFiles)));
    let huge = file(&"x".repeat(70_000));
    assert!(matches!(KeyFiles::load(&[huge.path().to_owned()]), Err(KeyError::TooLarge { .. })));
    let many = file(&whole.repeat(17));
    assert!(matches!(KeyFiles::load(&[many.path().to_owned()]), Err(KeyError::TooMany)));
}
