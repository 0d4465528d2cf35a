use std::fmt::Write as _;

/// The answer of a server to one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The body ends as it should.
    End,
    /// The connection breaks in the middle of the body.
    Break,
    /// Nothing more comes, and the connection stays.
    Stay,
    /// There is no answer at all, only an end of the connection.
    Refuse,
    /// There is no answer at all, and the connection stays.
    Silence,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), pieces: Vec::new(), ending: Ending::End }
    }

    /// An event stream that ends after this.
    pub(crate) fn events(stream: impl AsRef<[u8]>) -> Self {
        Self::status(200).header("content-type", "text/event-stream").body(stream)
    }

    pub(crate) fn refuse() -> Self {
        Self { ending: Ending::Refuse, ..Self::status(200) }
    }

    pub(crate) fn silence() -> Self {
        Self { ending: Ending::Silence, ..Self::status(200) }
    }

    pub(crate) fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::status(status).header("location", location)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Another piece of the body.
    pub(crate) fn body(mut self, piece: impl AsRef<[u8]>) -> Self {
        self.pieces.push(piece.as_ref().to_vec());
        self
    }

    pub(crate) fn then_stay(mut self) -> Self {
        self.ending = Ending::Stay;
        self
    }

    pub(crate) fn then_break(mut self) -> Self {
        self.ending = Ending::Break;
        self
    }

    /// The head as HTTP/1.1 writes it, with a body that ends with the connection.
    pub(crate) fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Status\r\nconnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if self.ending == Ending::Break {
            // More than there will be.
            head.push_str("content-length: 1000000\r\n");
        }
        head.push_str("\r\n");
        head
    }
}
