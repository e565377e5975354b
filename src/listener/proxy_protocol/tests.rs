use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, duplex};

use super::{
    parse::{Header, MOST, Malformed, parse},
    *,
};
use crate::net::Filtered;

/// A header of version 2 with these bytes behind its signature and length.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, block].concat()
}

fn source(bytes: &[u8]) -> Result<Option<String>, Malformed> {
    let header = parse(bytes)?.expect("whole");
    assert_eq!(header.length, bytes.len());
    Ok(header.source.map(|source| source.to_string()))
}

const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x9c, 0x40, 1, 0xbb];

fn v6() -> Vec<u8> {
    let mut block = vec![0x20, 1, 0xd, 0xb8];
    block.resize(15, 0);
    block.push(7);
    block.extend([0; 16]);
    block.extend([0x9c, 0x40, 1, 0xbb]);
    block
}

#[test]
fn version_1_names_the_client_of_either_family() {
    for (line, client) in [
        ("PROXY TCP4 192.0.2.1 10.0.0.1 40000 443\r\n", Some("192.0.2.1:40000")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::7 ::1 0 443\r\n", Some("[2001:db8::7]:0")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 443\r\n", Some("[::ffff:192.0.2.1]:1")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
        ("PROXY UNKNOWN \u{0} whatever\r\n", None),
    ] {
        assert_eq!(source(line.as_bytes()), Ok(client.map(ToOwned::to_owned)), "{line}");
    }
}

#[test]
fn other_spellings_of_version_1_are_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 10.0.0.1 40000 443\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 40000 443 \r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 40000\r\n",
        "PROXY TCP4  192.0.2.1 10.0.0.1 40000 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 040000 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 40000 \r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 40000 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.256 40000 443\r\n",
        "PROXY TCP4 2001:db8::7 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.1 10.0.0.1 1 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 443\r\n",
        "PROXY UDP4 192.0.2.1 10.0.0.1 1 443\r\n",
        "PROXY tcp4 192.0.2.1 10.0.0.1 1 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1\r10.0.0.1 1 443\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Malformed::Text), "{line:?}");
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MOST - 16));
    assert_eq!(source(longest.as_bytes()), Ok(None));
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MOST - 15));
    assert_eq!(parse(longer.as_bytes()), Err(Malformed::Text));
    for other in [
        "GET / HTTP/1.1\r\n",
        "PROXY\r\n",
        "PRI * HTTP/2.0\r\n",
        "\r\n\r\n",
        "\r\nPROXY ",
        "\u{16}\u{3}\u{1}",
    ] {
        let found = parse(other.as_bytes());
        assert!(found == Err(Malformed::Missing) || other == "\r\n\r\n" && found == Ok(None), "{other:?}");
    }
}

#[test]
fn version_2_names_the_client_of_a_tcp_connection() {
    for (command, family, block, client) in [
        (0x21, 0x11, V4.to_vec(), Some("192.0.2.1:40000")),
        (0x21, 0x21, v6(), Some("[2001:db8::7]:40000")),
        // Fields behind the addresses, of any kind.
        (0x21, 0x11, [&V4[..], &[4, 0, 1, 0]].concat(), Some("192.0.2.1:40000")),
        (0x21, 0x11, [&V4[..], &[0xff; 300]].concat(), Some("192.0.2.1:40000")),
        // The load balancer itself, whatever else it says.
        (0x20, 0x00, vec![], None),
        (0x20, 0x11, V4.to_vec(), None),
        (0x20, 0xff, vec![1, 2, 3], None),
        // No client, or none with an address.
        (0x21, 0x00, vec![], None),
        (0x21, 0x00, vec![9; 40], None),
        (0x21, 0x12, V4.to_vec(), None),
        (0x21, 0x31, vec![0; 216], None),
    ] {
        let bytes = binary(command, family, &block);
        assert_eq!(source(&bytes), Ok(client.map(ToOwned::to_owned)), "{command:x} {family:x}");
    }
}

#[test]
fn what_version_2_does_not_know_is_refused() {
    for (command, family, block) in [
        (0x11, 0x11, &V4[..]),
        (0x22, 0x11, &V4[..]),
        (0x21, 0x13, &V4[..]),
        (0x21, 0x41, &V4[..]),
        (0x21, 0x11, &V4[..11]),
        (0x21, 0x21, &V4[..]),
        (0x21, 0x31, &V4[..]),
    ] {
        let found = parse(&binary(command, family, block));
        assert_eq!(found, Err(Malformed::Binary), "{command:x} {family:x}");
    }
}

proptest! {
    #[test]
    fn what_a_load_balancer_writes_is_read(
        v6 in any::<bool>(), source in any::<u128>(), port in any::<u16>(), fields in 0_usize..500,
    ) {
        let address = if v6 { std::net::IpAddr::from(source.to_be_bytes()) } else {
            std::net::IpAddr::from(u32::try_from(source >> 96).unwrap().to_be_bytes())
        };
        let client = SocketAddr::new(address, port);
        let (name, family, there) = if v6 { ("TCP6", 0x21, "::1") } else { ("TCP4", 0x11, "10.0.0.1") };
        let line = format!("PROXY {name} {address} {there} {port} 443\r\n");
        prop_assert_eq!(parse(line.as_bytes()), Ok(Some(Header { source: Some(client), length: line.len() })));

        let octets = if v6 { source.to_be_bytes().to_vec() } else { source.to_be_bytes()[..4].to_vec() };
        let mut block = [octets.clone(), octets, port.to_be_bytes().to_vec(), vec![1, 187]].concat();
        block.resize(block.len() + fields, 0x55);
        let header = binary(0x21, family, &block);
        prop_assert_eq!(parse(&header), Ok(Some(Header { source: Some(client), length: header.len() })));
    }
}

/// Reads the header and the rest, when both arrive in such pieces.
async fn accepted(bytes: &[u8], piece: usize) -> Result<(Option<SocketAddr>, Vec<u8>), HeaderError> {
    let (mut client, mut io) = duplex(piece);
    let bytes = bytes.to_vec();
    let sending = tokio::spawn(async move {
        let _ = client.write_all(&bytes).await;
    });
    let (source, pending) = accept(&mut io).await?;
    let mut io = Filtered::new(io, pending);
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.unwrap();
    sending.await.unwrap();
    Ok((source, rest))
}

#[tokio::test]
async fn what_follows_the_header_is_passed_on_however_it_arrives() {
    let behind = "GET / HTTP/1.1\r\n".repeat(100);
    let client: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    for header in [
        b"PROXY TCP4 192.0.2.1 10.0.0.1 40000 443\r\n".to_vec(),
        binary(0x21, 0x11, &V4),
        binary(0x21, 0x11, &[&V4[..], &[7; 5000]].concat()),
        binary(0x21, 0x11, &[&V4[..], &vec![7; 65_523]].concat()),
    ] {
        let bytes = [&header, behind.as_bytes()].concat();
        for piece in [1, 2, 7, 64, 300, 100_000] {
            let (source, rest) = accepted(&bytes, piece).await.unwrap();
            assert_eq!((source, rest.as_slice()), (Some(client), behind.as_bytes()), "{piece}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_too_soon_has_no_header() {
    assert!(matches!(accepted(b"", 10).await, Err(HeaderError::Nothing)));
    for cut in ["PROXY", "PROXY TCP4 192.0.2.1", "\r\n\r\n\0\r\nQUIT\n\u{21}"] {
        assert!(matches!(accepted(cut.as_bytes(), 10).await, Err(HeaderError::Ended)), "{cut:?}");
    }
    let long = binary(0x21, 0x11, &[&V4[..], &[7; 5000]].concat());
    assert!(matches!(accepted(&long[..4000], 100).await, Err(HeaderError::Ended)));
    let other = accepted(b"GET / HTTP/1.1\r\n\r\n", 100).await;
    assert!(matches!(other, Err(HeaderError::Malformed(Malformed::Missing))));
}
