//! WebSocket frames (RFC 6455 §5) as a server reads and writes them: no socket, no handshake, no
//! extensions.
//!
//! Payloads are unmasked straight into the message they belong to: an idle [`Reader`] holds no
//! buffer, and a message never takes more memory than its limit.

/// Frames that one message may come in: more than any client makes, fewer than hurt.
const FRAMES: u16 = 1024;
/// RFC 6455 §5.5: payload of a control frame.
const CONTROL: u64 = 125;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole text message: valid UTF-8.
    Text(Vec<u8>),
    /// A ping: to be answered by a pong with the same payload (RFC 6455 §5.5.2).
    Ping(Vec<u8>),
    /// A pong; asked for or not.
    Pong,
    /// The client's last frame, with its code if it has one. Answer it, if no close was sent yet.
    Close(Option<u16>),
}

/// Why a client's frames are refused: the connection is to be closed with [`code`](Self::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Breaks RFC 6455: not masked, reserved bits or opcodes, fragments out of order, ….
    #[error("breaks the WebSocket protocol")]
    Protocol,
    /// A binary message (RFC 7395 §3.2: text only).
    #[error("binary message")]
    Binary,
    /// Text that is not UTF-8 (RFC 6455 §8.1).
    #[error("not UTF-8")]
    Utf8,
    /// More frames than a message may have.
    #[error("too many fragments")]
    Fragments,
    /// More bytes than a message may have.
    #[error("message too long")]
    TooLong,
}

impl Fault {
    /// The status code of the close frame (RFC 6455 §7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Fault::Protocol => 1002,
            Fault::Binary => 1003,
            Fault::Utf8 => 1007,
            Fault::Fragments => 1008,
            Fault::TooLong => 1009,
        }
    }
}

/// Reads a client's frames, however they are split.
#[derive(Debug, Default)]
pub struct Reader {
    /// The header of the frame that is under way, as far as it came.
    header: [u8; 14],
    have: u8,
    payload: Option<Payload>,
    /// The text message that is under way, and the number of its frames.
    text: Vec<u8>,
    frames: u16,
    control: Vec<u8>,
    fault: Option<Fault>,
    closed: bool,
}

/// The frame whose payload is under way.
#[derive(Clone, Copy, Debug)]
struct Payload {
    opcode: u8,
    last: bool,
    left: usize,
    mask: [u8; 4],
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Reader {
    /// A reader of a connection whose handshake is done.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the front of `input` until something is complete. `None`: all of `input`
    /// was taken. A text message of more than `limit` bytes is refused before it is kept. After a
    /// close frame everything is dropped.
    ///
    /// # Errors
    /// The client's fault; the same again from then on.
    pub fn next(&mut self, input: &mut &[u8], limit: usize) -> Result<Option<Event>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let next = self.read(input, limit);
        if let Err(fault) = next {
            // Nothing is kept for a connection that is over.
            *self = Reader {
                fault: Some(fault),
                ..Reader::default()
            };
        }
        next
    }

    fn read(&mut self, input: &mut &[u8], limit: usize) -> Result<Option<Event>, Fault> {
        loop {
            if self.closed {
                *input = &[];
                return Ok(None);
            }
            let payload = match self.payload {
                Some(payload) => payload,
                None => match self.read_header(input, limit)? {
                    Some(payload) => payload,
                    None => return Ok(None),
                },
            };
            let taken = payload.left.min(input.len());
            let (bytes, rest) = input.split_at(taken);
            *input = rest;
            let buffer = match payload.opcode {
                TEXT | CONTINUATION => &mut self.text,
                _ => &mut self.control,
            };
            let start = buffer.len();
            buffer.extend_from_slice(bytes);
            unmask(&mut buffer[start..], payload.mask);
            let mut mask = payload.mask;
            mask.rotate_left(taken % 4);
            let left = payload.left - taken;
            if left > 0 {
                self.payload = Some(Payload {
                    left,
                    mask,
                    ..payload
                });
                return Ok(None);
            }
            self.payload = None;
            if let Some(event) = self.complete(payload)? {
                return Ok(Some(event));
            }
        }
    }

    /// The frame's header, once it is there (RFC 6455 §5.2).
    fn read_header(&mut self, input: &mut &[u8], limit: usize) -> Result<Option<Payload>, Fault> {
        loop {
            let have = usize::from(self.have);
            let wanted = match have {
                0 | 1 => 2,
                _ => 6 + length_bytes(self.header[1] & 0x7f),
            };
            if have == wanted && have > 2 {
                break;
            }
            let taken = (wanted - have).min(input.len());
            let (bytes, rest) = input.split_at(taken);
            self.header[have..have + taken].copy_from_slice(bytes);
            *input = rest;
            // At most 14.
            self.have += taken as u8;
            if have + taken < wanted {
                return Ok(None);
            }
            if wanted == 2 {
                // What is wrong is said as soon as it can be known.
                self.judge()?;
            }
        }
        let wide = length_bytes(self.header[1] & 0x7f);
        let length = match wide {
            0 => u64::from(self.header[1] & 0x7f),
            _ => self.header[2..2 + wide]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        // RFC 6455 §5.2: in as few bytes as it takes, the first bit never set.
        if (wide == 2 && length < 126) || (wide == 8 && (length <= 0xffff || length >> 63 != 0)) {
            return Err(Fault::Protocol);
        }
        let opcode = self.header[0] & 0x0f;
        let last = self.header[0] & 0x80 != 0;
        if opcode == TEXT || opcode == CONTINUATION {
            let room = limit.saturating_sub(self.text.len());
            if usize::try_from(length).map_or(true, |length| length > room) {
                return Err(Fault::TooLong);
            }
            self.frames += 1;
            if self.frames > FRAMES {
                return Err(Fault::Fragments);
            }
        }
        let mut mask = [0; 4];
        mask.copy_from_slice(&self.header[2 + wide..6 + wide]);
        self.have = 0;
        let payload = Payload {
            opcode,
            last,
            // No more than the limit, or 125.
            left: length as usize,
            mask,
        };
        self.payload = Some(payload);
        Ok(Some(payload))
    }

    /// Judges the first two bytes.
    fn judge(&self) -> Result<(), Fault> {
        let [first, second, ..] = self.header;
        let opcode = first & 0x0f;
        let last = first & 0x80 != 0;
        let under_way = self.frames > 0;
        // RFC 6455 §5.1: a client masks every frame. §5.2: reserved bits belong to extensions.
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(Fault::Protocol);
        }
        match opcode {
            // RFC 6455 §5.4: fragments of one message are not mixed with another's.
            TEXT if !under_way => Ok(()),
            CONTINUATION if under_way => Ok(()),
            BINARY if !under_way => Err(Fault::Binary),
            // RFC 6455 §5.5: control frames are short and whole.
            CLOSE | PING | PONG if last && u64::from(second & 0x7f) <= CONTROL => Ok(()),
            _ => Err(Fault::Protocol),
        }
    }

    /// A frame is complete.
    fn complete(&mut self, frame: Payload) -> Result<Option<Event>, Fault> {
        let control = |reader: &mut Self| std::mem::take(&mut reader.control);
        Ok(match frame.opcode {
            CLOSE => {
                self.closed = true;
                self.text = Vec::new();
                Some(Event::Close(close_code(&control(self))?))
            }
            PING => Some(Event::Ping(control(self))),
            PONG => {
                control(self);
                Some(Event::Pong)
            }
            _ if !frame.last => None,
            _ => {
                self.frames = 0;
                let text = std::mem::take(&mut self.text);
                if std::str::from_utf8(&text).is_err() {
                    return Err(Fault::Utf8);
                }
                Some(Event::Text(text))
            }
        })
    }
}

/// RFC 6455 §5.3, in pieces that compilers make wide.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let wide: [u8; 16] = std::array::from_fn(|at| mask[at % 4]);
    let mut pieces = bytes.chunks_exact_mut(16);
    for piece in &mut pieces {
        for (byte, mask) in piece.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in pieces.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Bytes of the extended length.
fn length_bytes(length: u8) -> usize {
    match length {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// RFC 6455 §5.5.1, §7.4: the status code of a close frame.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Fault::Protocol),
        };
    };
    let code = u16::from_be_bytes(*code);
    let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    match std::str::from_utf8(reason) {
        Ok(_) if may_be_sent => Ok(Some(code)),
        Ok(_) => Err(Fault::Protocol),
        Err(_) => Err(Fault::Utf8),
    }
}

/// Appends the header of a text frame with a payload of `length` bytes, to be followed by these.
pub fn text_header(length: usize, out: &mut Vec<u8>) {
    header(TEXT, length, out);
}

/// Appends a ping.
pub fn ping(out: &mut Vec<u8>) {
    header(PING, 0, out);
}

/// Appends the answer to a ping. `payload` is the ping's: 125 bytes at most.
pub fn pong(payload: &[u8], out: &mut Vec<u8>) {
    header(PONG, payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends a close frame. Nothing may be sent after it.
pub fn close(code: u16, out: &mut Vec<u8>) {
    header(CLOSE, 2, out);
    out.extend_from_slice(&code.to_be_bytes());
}

/// RFC 6455 §5.1: a server does not mask.
fn header(opcode: u8, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
