//! Direct Routing on real TLS sockets: the gateway and the simulated proxy of Microsoft, sound measured at the ear.
//! `House` is the gateway, its
//! agent and the proxy.

mod calls;

type Test = Result<(), Box<dyn std::error::Error>>;
