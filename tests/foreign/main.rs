//! Foreign peers: the built gateway as its own process, with real programs at its doors that others have written.
//!
//! [SIPp](https://sipp.sourceforge.net) plays carriers and telephones by scenario, one file each in `sipp/`;
//! [baresip](https://github.com/baresip/baresip) and [Linphone](https://linphone.org) are softphones with a voice. All
//! come as Debian packages (`sip-tester`, `baresip-core`, `linphone-cli`), which `.ci/run` installs. Where one is missing its stories are skipped with a
//! line on standard error; with `CI` set in the environment they fail instead.
//!
//! What is judged are answers, levels, bytes and their order, and what is left behind; never the clock.

mod endings;
mod fax;
mod full_disk;
mod journey;
mod keys;
mod methods;
mod onward;
mod supervisor;
mod support;
mod telephones;
mod trunk;
