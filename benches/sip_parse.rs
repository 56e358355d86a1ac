//! Reading one INVITE of 27 headers, as Teams sends them, by us and by `rsip`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rsip::headers::ToTypedHeader;
use rsip::message::HeadersExt;
use sidetone::sip::build::ResponseBuilder;
use sidetone::sip::frame::Framer;
use sidetone::sip::message::{Message, StatusCode};
use sidetone::sip::sdp::Sdp;

const INVITE: &[u8] = include_bytes!("../tests/wire/teams-invite.sip");

fn read(c: &mut Criterion) {
    let raw = Bytes::from_static(INVITE);
    let mut group = c.benchmark_group("sip_parse");
    group.throughput(Throughput::Bytes(INVITE.len() as u64));

    group.bench_function("index", |b| b.iter(|| Message::parse_datagram(black_box(raw.clone())).unwrap()));
    group.bench_function("index_and_validate", |b| {
        b.iter(|| Message::parse_datagram(black_box(raw.clone())).unwrap().validated().unwrap())
    });
    group.bench_function("typed", |b| {
        b.iter(|| {
            let message = Message::parse_datagram(black_box(raw.clone())).unwrap();
            let headers = message.headers();
            let addresses = (headers.from().unwrap(), headers.to().unwrap());
            black_box((
                addresses,
                headers.top_via().unwrap(),
                headers.cseq().unwrap(),
                headers.call_id().unwrap(),
            ))
        })
    });
    group.bench_function("rsip_index", |b| b.iter(|| rsip::Request::try_from(black_box(INVITE)).unwrap()));
    group.bench_function("rsip_typed", |b| {
        b.iter(|| {
            let message = rsip::Request::try_from(black_box(INVITE)).unwrap();
            let addresses = (message.from_header().unwrap().typed(), message.to_header().unwrap().typed());
            let (via, cseq) = (message.via_header().unwrap().typed(), message.cseq_header().unwrap().typed());
            black_box((addresses.0.unwrap(), addresses.1.unwrap(), via.unwrap(), cseq.unwrap()))
        })
    });
    group.bench_function("frame", |b| {
        b.iter(|| {
            let mut framer = Framer::new();
            framer.push(black_box(INVITE));
            framer.next().unwrap()
        })
    });
    group.bench_function("sdp", |b| {
        let message = Message::parse_datagram(raw.clone()).unwrap();
        b.iter(|| Sdp::parse(black_box(message.body())).unwrap())
    });
    group.bench_function("answer_100", |b| {
        let Ok(Message::Request(request)) = Message::parse_datagram(raw.clone()) else {
            panic!("not a request")
        };
        let source = "192.0.2.10:5061".parse().unwrap();
        b.iter(|| ResponseBuilder::new(black_box(&request), StatusCode::TRYING, source).build().unwrap())
    });
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
