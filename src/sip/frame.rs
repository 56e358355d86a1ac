//! Cutting a byte stream (TCP, TLS) into messages.
//!
//! ```text
//!   push(octets) ... then next() until None:
//!
//!   CRLF ............................ Pong      CRLF CRLF ............ Pong, Ping
//!   head CRLF CRLF body ............. Message   (body of Content-Length octets)
//!   framing lost .................... Broken    and nothing more; close the connection
//! ```
//!
//! What comes out does not depend on how the octets were cut on the way. A message that is bad in itself is still a
//! `Message` here when its end is known; reading it gives the answer, and the connection goes on.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::header::{HeaderError, Name};
use super::message::{Defect, Headers, MAX_BODY_BYTES, MAX_MESSAGE_BYTES};

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framed {
    /// One whole message for [`Message::parse_stream`](super::message::Message::parse_stream).
    Message(Bytes),
    /// A double CRLF: the peer asks for a CRLF in return (RFC 5626 section 4.4.1).
    Ping,
    /// A CRLF between messages: the answer to our ping. It is told at once, so the first half of a ping also shows
    /// as one; a pong nobody waits for means nothing.
    Pong,
    /// The end of this message, and so the start of the next, cannot be known. `head` goes to
    /// [`Message::parse_stream`](super::message::Message::parse_stream) for the answer, if one is possible; then
    /// the connection must be closed (RFC 3261 section 18.3).
    Broken {
        /// The headers, as far as they came.
        head: Bytes,
        /// What is wrong.
        why: FrameError,
    },
}

/// Why the framing of a stream is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// No end of headers within the longest message that is taken.
    #[error("headers too long")]
    HeadTooLong,
    /// Headers and body are longer than the longest message that is taken.
    #[error("message too long")]
    TooLong,
    /// Content-Length is absent, repeated or unreadable, or could be hidden behind a bare line end.
    #[error("length unknown")]
    Length(#[source] Defect),
}

/// Collects a stream and gives it back in pieces.
///
/// Holds at most the longest message that is taken and what the last push added; call [`Framer::next`] until `None`
/// after each push.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    state: State,
    /// Octets of the longest message that is taken.
    longest: usize,
}

impl Default for Framer {
    fn default() -> Framer {
        Framer::up_to(MAX_MESSAGE_BYTES)
    }
}

#[derive(Debug, Default)]
enum State {
    /// Between messages; `after_crlf` when the octets before were a CRLF that no ping has used.
    #[default]
    Idle,
    AfterCrlf,
    /// In the headers; the first `scanned` octets hold no end of headers.
    Head {
        scanned: usize,
    },
    /// The head ends the message `length` octets from the buffer's start.
    Body {
        length: usize,
    },
    Broken,
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// A framer that takes no message longer than this, itself held at [`MAX_MESSAGE_BYTES`].
    pub fn up_to(longest: usize) -> Self {
        Framer { buffer: BytesMut::new(), state: State::default(), longest: longest.min(MAX_MESSAGE_BYTES) }
    }

    /// Takes octets from the stream. After [`Framed::Broken`] they are dropped.
    pub fn push(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Broken) {
            self.buffer.extend_from_slice(octets);
        }
    }

    /// The next piece, or `None` until more octets come.
    #[allow(clippy::should_implement_trait)] // `None` is not the end, which is what an iterator would promise.
    pub fn next(&mut self) -> Option<Framed> {
        loop {
            match self.state {
                State::Idle | State::AfterCrlf => match self.buffer[..] {
                    [] | [b'\r'] => return None,
                    [b'\r', b'\n', ..] => return Some(self.line_end()),
                    _ => self.state = State::Head { scanned: 0 },
                },
                State::Head { scanned } => {
                    let Some(head) = find_head_end(&self.buffer, scanned, self.longest) else {
                        if self.buffer.len() >= self.longest {
                            return Some(self.lose(self.longest, FrameError::HeadTooLong));
                        }
                        // The marker is four octets; three of them may already be here.
                        self.state = State::Head { scanned: self.buffer.len().saturating_sub(3) };
                        return None;
                    };
                    match message_length(&self.buffer[..head], self.longest) {
                        Ok(length) => self.state = State::Body { length },
                        Err(why) => return Some(self.lose(head, why)),
                    }
                }
                State::Body { length } if self.buffer.len() < length => return None,
                State::Body { length } => {
                    self.state = State::Idle;
                    return Some(Framed::Message(self.buffer.split_to(length).freeze()));
                }
                State::Broken => return None,
            }
        }
    }

    /// Whether the stream stands between messages, so that closing it cuts nothing off.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle | State::AfterCrlf) && self.buffer.is_empty()
    }

    fn line_end(&mut self) -> Framed {
        let _ = self.buffer.split_to(2);
        match self.state {
            State::AfterCrlf => {
                self.state = State::Idle;
                Framed::Ping
            }
            _ => {
                self.state = State::AfterCrlf;
                Framed::Pong
            }
        }
    }

    fn lose(&mut self, head: usize, why: FrameError) -> Framed {
        self.state = State::Broken;
        let head = self.buffer.split_to(head).freeze();
        self.buffer = BytesMut::new();
        Framed::Broken { head, why }
    }
}

/// How many octets the head takes, its empty line included.
fn find_head_end(buffer: &[u8], scanned: usize, longest: usize) -> Option<usize> {
    let until = buffer.len().min(longest);
    let found = buffer.get(scanned..until)?.windows(4).position(|w| w == b"\r\n\r\n")?;
    Some(scanned + found + 4)
}

/// How many octets the message with this head takes, body included.
fn message_length(head: &[u8], longest: usize) -> Result<usize, FrameError> {
    let start = head.windows(2).position(|w| w == b"\r\n").map_or(head.len(), |i| i + 2);
    let (headers, indexed) = Headers::index(Bytes::copy_from_slice(head), start);
    // A line that is merely malformed hides nothing; a bare line end or a limit may.
    if let Err(defect @ (Defect::BareLineEnd | Defect::HeaderLimit)) = indexed {
        return Err(FrameError::Length(defect));
    }
    let length = match headers.content_length() {
        Ok(Some(length)) => length as usize,
        Ok(None) => return Err(FrameError::Length(HeaderError::Missing(Name::ContentLength).into())),
        Err(bad) => return Err(FrameError::Length(bad.into())),
    };
    if length > MAX_BODY_BYTES || head.len() + length > longest {
        return Err(FrameError::TooLong);
    }
    Ok(head.len() + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sip::message::{Message, ParseError};

    const OPTIONS: &str = "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: 1@192.0.2.1\r\nCSeq: 1 OPTIONS\r\n";

    fn options(length: &str, body: &str) -> String {
        format!("{OPTIONS}{length}\r\n{body}")
    }

    fn frames(chunks: &[&[u8]]) -> Vec<Framed> {
        let mut framer = Framer::new();
        let mut all = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            all.extend(std::iter::from_fn(|| framer.next()));
        }
        all
    }

    #[test]
    fn a_message_longer_than_the_setting_breaks_the_stream_and_one_as_long_does_not() {
        let message = options("Content-Length: 10\r\n", "0123456789");
        for (longest, taken) in [(message.len(), true), (message.len() - 1, false), (100, false)] {
            let mut framer = Framer::up_to(longest);
            framer.push(message.as_bytes());
            let framed = framer.next();
            assert_eq!(matches!(framed, Some(Framed::Message(_))), taken, "{longest}: {framed:?}");
        }
    }

    #[test]
    fn two_messages_with_keep_alives_between_come_apart() {
        let first = options("Content-Length :  4\r\n", "ab\r\n");
        let second = options("l: 0\r\n", "");
        let stream = format!("\r\n{first}\r\n\r\n{second}");
        assert_eq!(
            frames(&[stream.as_bytes()]),
            [
                Framed::Pong,
                Framed::Message(first.into()),
                Framed::Pong,
                Framed::Ping,
                Framed::Message(second.into())
            ]
        );
    }

    #[test]
    fn a_message_without_usable_length_ends_the_stream_with_an_answer() {
        for length in
            ["", "Content-Length: -1\r\n", "l: 1\r\nContent-Length: 2\r\n", "Content-Length: 99999999999\r\n"]
        {
            let stream = options(length, "") + &options("l: 0\r\n", "");
            let all = frames(&[stream.as_bytes()]);
            let [Framed::Broken { head, why: FrameError::Length(_) }] = &all[..] else { panic!("{all:?}") };
            let Err(ParseError::Reject(answer)) = Message::parse_stream(head.clone()) else {
                panic!("{length}")
            };
            assert_eq!(answer.status.as_u16(), 400, "{length}");
        }
    }

    #[test]
    fn a_length_behind_a_bare_line_feed_is_not_trusted() {
        let stream = options("X: a\nContent-Length: 4\r\nl: 0\r\n", "");
        let all = frames(&[stream.as_bytes()]);
        assert!(
            matches!(all[..], [Framed::Broken { why: FrameError::Length(Defect::BareLineEnd), .. }]),
            "{all:?}"
        );
    }

    #[test]
    fn a_bad_message_with_known_length_costs_the_connection_nothing() {
        let bad = options("no colon here\r\nl: 3\r\n", "abc");
        let good = options("l: 0\r\n", "");
        let all = frames(&[bad.as_bytes(), good.as_bytes()]);
        assert_eq!(all, [Framed::Message(bad.clone().into()), Framed::Message(good.into())]);
        assert!(matches!(Message::parse_stream(bad.into()), Err(ParseError::Reject(_))));
    }

    #[test]
    fn what_is_too_long_ends_the_stream_and_frees_its_memory() {
        let body = options(&format!("l: {MAX_MESSAGE_BYTES}\r\n"), "");
        assert!(matches!(frames(&[body.as_bytes()])[..], [Framed::Broken { why: FrameError::TooLong, .. }]));

        let mut framer = Framer::new();
        let mut lost = 0;
        for _ in 0..MAX_MESSAGE_BYTES {
            framer.push(b"aaaaaaaa");
            lost += std::iter::from_fn(|| framer.next()).count();
            assert!(framer.buffer.len() < MAX_MESSAGE_BYTES + 8);
        }
        assert_eq!((lost, framer.buffer.capacity()), (1, 0));
    }

    proptest! {
        #[test]
        fn any_cutting_of_the_stream_gives_the_same_frames(
            pieces in prop::collection::vec(0usize..7, 1..8),
            cuts in prop::collection::vec(0usize..4096, 0..40),
        ) {
            let parts = [
                options("l: 0\r\n", ""),
                options("Content-Length: 8\r\n", "\r\n\r\nab\r\n"),
                "\r\n".into(),
                "\r\n\r\n".into(),
                options("broken line\r\nl: 2\r\n", "xy"),
                options("Subject: a\r\n b\r\nL :0\r\n", ""),
                options("", ""),
            ];
            let stream: Vec<u8> = pieces.iter().flat_map(|&i| parts[i].bytes()).collect();
            let mut ends: Vec<usize> = cuts.into_iter().filter(|&cut| cut < stream.len()).collect();
            ends.push(stream.len());
            ends.sort_unstable();
            let mut start = 0;
            let chunks: Vec<&[u8]> = ends.iter().map(|&end| &stream[std::mem::replace(&mut start, end)..end]).collect();
            let octet_by_octet: Vec<&[u8]> = stream.chunks(1).collect();
            let whole = frames(&[&stream]);
            prop_assert_eq!(&frames(&chunks), &whole);
            prop_assert_eq!(&frames(&octet_by_octet), &whole);
        }
    }
}
