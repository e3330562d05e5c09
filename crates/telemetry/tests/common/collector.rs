//! A small collector: a real HTTP server that reads OTLP in protobuf with its own parser.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

#[derive(Debug, Default)]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent_id: String,
    pub(crate) name: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Text attributes.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) events: Vec<String>,
    pub(crate) links: Vec<String>,
    /// 0 unset, 1 ok, 2 error.
    pub(crate) status: u64,
}

pub(crate) struct Collector {
    pub(crate) address: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let received = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let body = receive(connection.unwrap());
                received.lock().unwrap().push(body);
            }
        });
        Self { address, bodies }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        let resources = bodies.iter().flat_map(|body| inside(body, 1));
        let scopes = resources.flat_map(|resource| inside(resource, 2));
        scopes.flat_map(|scope| inside(scope, 2)).map(read_span).collect()
    }
}

/// Reads one request with its body and answers it.
fn receive(connection: TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.trim_end().to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        assert!(
            !header.starts_with("content-type:") || header.ends_with("application/x-protobuf"),
            "{header}"
        );
        if header.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.into_inner().write_all(answer).unwrap();
    body
}

fn read_span(bytes: &[u8]) -> Span {
    let mut span = Span::default();
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Bytes(id)) => span.trace_id = hex(id),
            (2, Field::Bytes(id)) => span.span_id = hex(id),
            (4, Field::Bytes(id)) => span.parent_id = hex(id),
            (5, Field::Bytes(name)) => span.name = text(name),
            (7, Field::Number(time)) => span.start = time,
            (8, Field::Number(time)) => span.end = time,
            (9, Field::Bytes(attribute)) => {
                let value = inside(attribute, 2)
                    .into_iter()
                    .flat_map(|value| inside(value, 1))
                    .next();
                if let Some(value) = value {
                    span.attributes.insert(text(inside(attribute, 1)[0]), text(value));
                }
            }
            (11, Field::Bytes(event)) => span.events.push(text(inside(event, 2)[0])),
            (13, Field::Bytes(link)) => span.links.push(hex(inside(link, 2)[0])),
            (15, Field::Bytes(status)) => {
                for (number, field) in fields(status) {
                    if let (3, Field::Number(code)) = (number, field) {
                        span.status = code;
                    }
                }
            }
            _ => (),
        }
    }
    span
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes);
                Field::Bytes(take(&mut bytes, length as usize))
            }
            5 => Field::Number(u64::from(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()))),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// The byte fields with this number.
fn inside(bytes: &[u8], wanted: u64) -> Vec<&[u8]> {
    let of_number = |(number, field)| match field {
        Field::Bytes(bytes) if number == wanted => Some(bytes),
        Field::Bytes(_) | Field::Number(_) => None,
    };
    fields(bytes).into_iter().filter_map(of_number).collect()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
