//! What a backend implements: each shape's trait, and the commit they share.

use crate::archive::Archives;
use crate::logs::Logs;
use crate::pending::Answer;
use crate::records::Records;
use crate::{Batch, Pending};

/// A place to store things. Kinds were resolved and bounds checked by [`crate::Store`]; the promises
/// are those of its methods.
pub(crate) trait Backend: Records + Logs + Archives + Send + Sync {
    /// [`crate::Store::commit`]. A batch that is refused is answered before this returns.
    fn commit(&self, batch: Batch, answer: Answer);

    /// [`crate::Store::flush`].
    fn flush(&self) -> Pending<()>;

    /// [`crate::Store::close`].
    fn close(&self) -> Pending<()>;

    /// [`crate::Store::is_busy`].
    fn is_busy(&self) -> bool;

    /// [`crate::Store::stats`].
    fn stats(&self) -> crate::Stats;
}
