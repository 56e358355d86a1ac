//! A SIP telephone on real sockets, for one call at a time.
//!
//! ```text
//!            dial()                 180, 183             2xx, ACK
//!   Idle ------------> Dialling --------------> ... ---------------> Talking
//!    |                     \______ 3xx to 6xx, cancel() ______          |
//!    | INVITE                                                 \         | BYE either way
//!    +------> Ringing --- answer() --- ACK -------------> Talking       v
//!                \______ reject(), CANCEL ____________________\----> Over(End)
//! ```
//!
//! The telephone behaves as a plain, correct one does (RFC 3261, 3262, 3264): that it is predictable is its use. What
//! it should do when called is its [`Manner`]; what happened is in its [`Status`], which can be waited for.

mod dialog;
mod net;
mod ring;
mod talk;
mod tls;
mod ua;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sidetone_media::codec::Codec;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::ear::Ear;
use super::voice::Voice;
use super::{Hung, until};
use crate::sip::build::BuildError;
use crate::sip::message::StatusCode;
use crate::sip::offer::NegotiatedAudio;
use crate::sip::sdp::Direction;
use crate::sip::uri::{Uri, UriError};

pub use talk::Mouth;
pub use tls::{NoTls, Tls};

/// Commands waiting for the telephone.
const COMMANDS_MAX: usize = 64;

/// A telephone. Its sockets and tasks go when it goes; a call still up is left as by a telephone whose plug was pulled.
pub struct Phone {
    name: String,
    address: SocketAddr,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

/// What kind of telephone it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The user part of its address, its digest user name and the name of its ear.
    pub name: String,
    /// Its digest password.
    pub password: Option<String>,
    /// Where requests go that belong to no dialog: registrar and proxy.
    pub server: Option<SocketAddr>,
    /// How it speaks SIP.
    pub transport: Transport,
    /// Whom it believes and what it shows; needed for [`Transport::Tls`].
    pub tls: Option<Tls>,
    /// The address of its SIP and RTP sockets.
    pub ip: IpAddr,
    /// What it offers and takes, best first.
    pub codecs: Vec<Codec>,
    /// What it says.
    pub voice: Voice,
    /// What it does when it is called.
    pub manner: Manner,
    /// Whether its provisional answers are reliable (RFC 3262).
    pub reliable: Reliable,
    /// How long it registers for.
    pub register_for: Duration,
    /// Whether its sound is protected.
    pub srtp: Srtp,
}

impl Options {
    /// A telephone on loopback that speaks UDP and G.711, is silent and answers at once.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: None,
            server: None,
            transport: Transport::Udp,
            tls: None,
            ip: Ipv4Addr::LOCALHOST.into(),
            codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::G722],
            voice: Voice::Silence,
            manner: Manner::Answer,
            reliable: Reliable::Supported,
            register_for: Duration::from_secs(300),
            srtp: Srtp::Off,
        }
    }
}

/// What a telephone does about SRTP with keys in descriptions (RFC 4568).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Srtp {
    /// Never heard of it.
    Off,
    /// Takes it when it is offered.
    IfOffered,
    /// Offers it and takes nothing else.
    Always,
}

/// How a telephone speaks SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection it opens, and a listener for those to it.
    Tcp,
    /// The same, private.
    Tls,
}

/// What a telephone does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Rings and answers at once.
    Answer,
    /// Rings until [`Phone::answer`] or [`Phone::reject`].
    Ring,
    /// Plays its voice as early media (183 with SDP) until [`Phone::answer`].
    EarlyMedia,
    /// Refuses with this status, such as 486 or 603.
    Refuse(StatusCode),
    /// Answers nothing at all: unplugged.
    Dead,
}

/// What a telephone does about reliable provisional answers (RFC 3262).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliable {
    /// Never heard of them.
    Off,
    /// Acknowledges them and sends them where they are required.
    Supported,
    /// Requires them when it calls, and sends them to whoever supports them.
    Required,
}

/// How things stand with a telephone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// At the registrar.
    pub registration: Registration,
    /// On the line.
    pub line: Line,
    /// Provisional answers to the call being placed, in order.
    pub provisional: Vec<StatusCode>,
    /// How many calls came so far, answered or not.
    pub calls_in: u32,
    /// How many calls reached `Talking` so far.
    pub talks: u32,
    /// Descriptions agreed on in this call: one for its beginning, one more for each re-INVITE or UPDATE.
    pub agreements: u32,
    /// The last of them.
    pub agreed: Option<NegotiatedAudio>,
    /// Who calls: the user part of From, as it came.
    pub caller: Option<String>,
}

/// How things stand at the registrar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registration {
    /// Never asked, or asked to be forgotten.
    #[default]
    None,
    /// Registered; the registrar said for how long, and a telephone refreshes in time.
    For(Duration),
    /// The registrar's refusal.
    Refused(StatusCode),
}

/// How things stand on the line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Line {
    /// No call yet.
    #[default]
    Idle,
    /// Our call is on its way or rings.
    Dialling,
    /// We are being called.
    Ringing,
    /// Answered and acknowledged.
    Talking,
    /// The last call is over.
    Over(End),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Who ended it.
    pub by: Side,
    /// The status that ended it before it was answered; none for a BYE.
    pub status: Option<StatusCode>,
    /// The Reason header of the BYE, CANCEL or refusal, as it came (RFC 3326).
    pub reason: Option<String>,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This telephone.
    Us,
    /// The other end.
    Them,
    /// Nobody: messages went unanswered.
    Nobody,
}

/// Why a telephone did not do what it was told.
#[derive(Debug, Error)]
pub enum PhoneError {
    /// Its sockets could not be opened.
    #[error("no sockets for the telephone")]
    Sockets(#[source] io::Error),
    /// What was asked does not fit the state of the line.
    #[error("not possible now: {0}")]
    NotNow(&'static str),
    /// It has no server to send this to.
    #[error("the telephone has no server")]
    NoServer,
    /// It cannot be written as an address.
    #[error("no SIP address")]
    Address(#[from] UriError),
    /// It cannot be written as a message.
    #[error("message not written")]
    Build(#[from] BuildError),
    /// The other end refused with this status.
    #[error("refused with {0}")]
    Refused(StatusCode),
    /// The other end did not answer at all.
    #[error("no answer")]
    NoAnswer,
    /// The telephone's task is gone.
    #[error("the telephone is gone")]
    Gone,
    /// What should have come never did.
    #[error(transparent)]
    Hung(#[from] Hung),
}

type Done = oneshot::Sender<Result<(), PhoneError>>;

/// What a telephone can be told.
enum Command {
    Register(Duration, Done),
    Dial(Uri, Done),
    Answer(Done),
    Reject(StatusCode, Done),
    Hangup(Done),
    /// A re-INVITE with an offer of this direction.
    Offer(Direction, Done),
    /// A re-INVITE with an offer of a new key.
    Rekey(Done),
    /// A re-INVITE without an offer.
    Refresh(Done),
    Say(Voice, Done),
    Press(String, Done),
    Manner(Manner, Done),
    Sound(oneshot::Sender<Option<(Ear, Mouth, SocketAddr)>>),
}

impl Phone {
    /// Plugs a telephone in.
    pub async fn start(options: Options) -> Result<Self, PhoneError> {
        let net = net::Net::open(options.transport, options.ip, options.tls.clone())
            .await
            .map_err(PhoneError::Sockets)?;
        let (commands, told) = mpsc::channel(COMMANDS_MAX);
        let (status, watched) = watch::channel(Status::default());
        let (name, address) = (options.name.clone(), net.local);
        let ua = ua::Ua::new(options, address, status)?;
        let task = tokio::spawn(run(ua, net, told));
        Ok(Self { name, address, commands, status: watched, task })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of its SIP socket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until `seen` is true of the status, and gives it. `what` says what is waited for.
    pub async fn until(&self, what: &str, seen: impl FnMut(&Status) -> bool) -> Result<Status, PhoneError> {
        let hung =
            |last: &Status| Hung { who: self.name.clone(), what: what.to_owned(), last: format!("{last:?}") };
        Ok(until(&mut self.status.clone(), seen, hung).await?)
    }

    /// Registers, answering the registrar's challenge, and keeps the registration fresh. Returns when registered.
    pub async fn register(&self, expires: Duration) -> Result<(), PhoneError> {
        self.tell(|done| Command::Register(expires, done)).await
    }

    /// Takes the registration back.
    pub async fn unregister(&self) -> Result<(), PhoneError> {
        self.tell(|done| Command::Register(Duration::ZERO, done)).await
    }

    /// Calls somebody. Returns when the INVITE is sent; [`Phone::talking`] waits for the answer.
    pub async fn dial(&self, target: Uri) -> Result<(), PhoneError> {
        self.tell(|done| Command::Dial(target, done)).await
    }

    /// Waits until the call placed or received is answered. A call that ends instead is an error.
    pub async fn talking(&self) -> Result<Status, PhoneError> {
        let settled = |status: &Status| matches!(status.line, Line::Talking | Line::Over(_));
        let status = self.until("an answered call", settled).await?;
        match &status.line {
            Line::Over(End { status: Some(code), .. }) => Err(PhoneError::Refused(*code)),
            Line::Over(_) => Err(PhoneError::NoAnswer),
            _ => Ok(status),
        }
    }

    /// Waits until somebody calls.
    pub async fn ringing(&self) -> Result<Status, PhoneError> {
        self.until("a call", |status| status.line == Line::Ringing).await
    }

    /// Waits until the call is over, and tells how it ended.
    pub async fn over(&self) -> Result<End, PhoneError> {
        let status = self.until("the end of the call", |status| matches!(status.line, Line::Over(_))).await?;
        match status.line {
            Line::Over(end) => Ok(end),
            _ => Err(PhoneError::NoAnswer),
        }
    }

    /// Answers the call that rings.
    pub async fn answer(&self) -> Result<(), PhoneError> {
        self.tell(Command::Answer).await
    }

    /// Refuses the call that rings.
    pub async fn reject(&self, status: StatusCode) -> Result<(), PhoneError> {
        self.tell(|done| Command::Reject(status, done)).await
    }

    /// Hangs up: BYE, or CANCEL while the other end still rings. Returns when the other end has said yes to it.
    pub async fn hang_up(&self) -> Result<(), PhoneError> {
        self.tell(Command::Hangup).await
    }

    /// Puts the other end on hold by a re-INVITE: `SendOnly`, or `Inactive`. Returns when it is answered.
    pub async fn hold(&self, direction: Direction) -> Result<(), PhoneError> {
        self.tell(|done| Command::Offer(direction, done)).await
    }

    /// Takes the other end off hold by a re-INVITE. Returns when it is answered.
    pub async fn resume(&self) -> Result<(), PhoneError> {
        self.tell(|done| Command::Offer(Direction::SendRecv, done)).await
    }

    /// Offers a new key of its own by a re-INVITE, and speaks under it once it is answered.
    pub async fn rekey(&self) -> Result<(), PhoneError> {
        self.tell(Command::Rekey).await
    }

    /// Sends a re-INVITE without an offer: the other end offers and we answer in the ACK.
    pub async fn refresh(&self) -> Result<(), PhoneError> {
        self.tell(Command::Refresh).await
    }

    /// Speaks with another voice from now on.
    pub async fn say(&self, voice: Voice) -> Result<(), PhoneError> {
        self.tell(|done| Command::Say(voice, done)).await
    }

    /// Presses keys.
    pub async fn press(&self, digits: &str) -> Result<(), PhoneError> {
        self.tell(|done| Command::Press(digits.to_owned(), done)).await
    }

    /// From now on does this when called.
    pub async fn behave(&self, manner: Manner) -> Result<(), PhoneError> {
        self.tell(|done| Command::Manner(manner, done)).await
    }

    /// The ear of the call on the line, or of the last one.
    pub async fn ear(&self) -> Result<Ear, PhoneError> {
        Ok(self.sound().await?.0)
    }

    /// The mouth of the call on the line, or of the last one.
    pub async fn mouth(&self) -> Result<Mouth, PhoneError> {
        Ok(self.sound().await?.1)
    }

    /// Where the call on the line, or the last one, receives RTP.
    pub async fn rtp_address(&self) -> Result<SocketAddr, PhoneError> {
        Ok(self.sound().await?.2)
    }

    async fn sound(&self) -> Result<(Ear, Mouth, SocketAddr), PhoneError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Sound(answer)).await.map_err(|_| PhoneError::Gone)?;
        answered.await.map_err(|_| PhoneError::Gone)?.ok_or(PhoneError::NotNow("there was no call"))
    }

    async fn tell(&self, command: impl FnOnce(Done) -> Command) -> Result<(), PhoneError> {
        let (done, was_done) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| PhoneError::Gone)?;
        was_done.await.map_err(|_| PhoneError::Gone)?
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The telephone's one task: whatever comes first is handled, then what it wants to say is sent.
async fn run(mut ua: ua::Ua, mut net: net::Net, mut commands: mpsc::Receiver<Command>) {
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => ua.told(command),
                None => return,
            },
            received = net.receive() => match received {
                Some(received) => ua.received(received.octets, received.from),
                None => return,
            },
            () = tokio::time::sleep_until(ua.wakes_at()) => ua.woke(),
        }
        for (to, octets) in ua.take_outgoing() {
            net.send(to, octets).await;
        }
    }
}
