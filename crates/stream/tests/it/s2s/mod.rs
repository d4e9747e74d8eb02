//! Dialogues with streams between servers. Ours is `a.example` (and `a2.example`), theirs `b.example`.

mod attacks;
mod initiating;
mod management;
mod peer;
mod receiving;
mod together;
