use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Forwards to the server from a port of its own, which it returns. The output of the server from `first` on
/// is held back up to `last`; then all of it is passed on at once, and the connection ends.
pub(crate) async fn hold_back(server: u16, first: &'static str, last: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.expect("the server runs");
            tokio::spawn(pass(client, server, first, last));
        }
    });
    port
}

async fn pass(client: TcpStream, server: TcpStream, first: &str, last: &str) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asks = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut held = Vec::new();
    while from_server.read_buf(&mut held).await? > 0 {
        if !contains(&held, first) || contains(&held, last) {
            to_client.write_all(&held).await?;
            if contains(&held, last) {
                break;
            }
            held.clear();
        }
    }
    asks.abort();
    to_client.shutdown().await
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
