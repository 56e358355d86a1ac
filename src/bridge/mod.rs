//! stub
use std::net::SocketAddr;
use std::time::Instant;
use crate::call::{CallId, LegId, Hearing};
#[derive(Clone)] pub struct Bridge;
#[derive(Debug, Clone, serde::Serialize)] pub struct LegQuality {}
pub enum BridgeEvent { Digit{call: CallId, leg: LegId, digit: char, ms: u32}, FirstMedia{call:CallId, leg:LegId}, MediaTimeout{call:CallId, leg:LegId}, HearingApplied{call:CallId, generation:u64, at: Instant}, Closed{call:CallId, leg:LegId, quality:LegQuality}, CallFailed{call:CallId}, Quality{call:CallId,leg:LegId,quality:LegQuality} }
pub struct LegMedia { pub rtp: SocketAddr }
#[derive(Debug, thiserror::Error)] #[error("x")] pub struct BridgeError;
pub struct LegFormat {}
pub struct MouthReport { pub leg: LegId, pub level_dbfs: Option<f32> }
pub struct PlanX; impl PlanX { pub fn name(&self)->&'static str {""} }
pub struct EarReport { pub leg: LegId, pub plan: PlanX, pub mouths: Vec<MouthReport> }
pub struct AudioReport { pub generation: u64, pub ears: Vec<EarReport> }
impl Bridge {
  pub fn open(&self, _c: CallId, _l: LegId) -> Result<LegMedia, BridgeError> { Err(BridgeError) }
  pub fn negotiate(&self, _c: CallId, _l: LegId, _f: LegFormat) {}
  pub fn set_hearing(&self, _c: CallId, _g: u64, _h: Hearing) {}
  pub fn send_digit(&self, _c: CallId, _l: LegId, _d: char) {}
  pub fn close(&self, _c: CallId, _l: LegId) {}
  pub fn close_call(&self, _c: CallId) {}
  pub fn move_leg(&self, _a: CallId, _b: CallId, _l: LegId) {}
  pub async fn audio(&self, _c: CallId) -> Option<AudioReport> { None }
}
