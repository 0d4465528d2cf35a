//! A proxy whose connections can be cut, as a network's are.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes on what comes, on a port of its own, unless it is cut.
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
                // While it is cut, whoever comes is sent away at once.
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

    /// Breaks every connection, and lets none through.
    pub(crate) fn cut(&self) {
        let mut network = self.network.lock().expect("nobody panics");
        network.cut = true;
        for socket in network.sockets.drain(..) {
            // One that has ended is not connected any more.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.network.lock().expect("nobody panics").cut = false;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // However the one side ends, the other does too.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn copy(socket: &TcpStream) -> TcpStream {
    socket.try_clone().expect("another handle of the same socket")
}
