//! Proxy whose connections can be cut, like those of a network.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes bytes on, on a port of its own, unless it is cut.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    network: Arc<Mutex<Network>>,
}

#[derive(Default)]
struct Network {
    cut: bool,
    sockets: Vec<TcpStream>,
}

impl Proxy {
    pub(crate) fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let network = Arc::new(Mutex::new(Network::default()));
        let accepting = Arc::clone(&network);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a client comes");
                let mut network = accepting.lock().expect("nobody panics");
                // While it is cut, it closes new connections at once.
                if !network.cut {
                    let server = TcpStream::connect(server).expect("the server accepts");
                    network.sockets.extend([copy(&client), copy(&server)]);
                    pass(copy(&client), copy(&server));
                    pass(server, client);
                }
            }
        });
        Self { addr, network }
    }

    /// Breaks every connection, and accepts no new ones.
    pub(crate) fn cut(&self) {
        let mut network = self.network.lock().expect("nobody panics");
        network.cut = true;
        for socket in network.sockets.drain(..) {
            // A connection that has ended cannot be shut down.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.network.lock().expect("nobody panics").cut = false;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // When one side ends in any way, the other one ends too.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn copy(socket: &TcpStream) -> TcpStream {
    socket.try_clone().expect("another handle of the same socket")
}
