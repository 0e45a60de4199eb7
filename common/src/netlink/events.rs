//! Events, for tokio.

use tokio::io::unix::AsyncFd;

use super::error::Error;
use super::message::Message;
use super::platform;
use super::socket::Socket;

/// A listening [`Socket`] in tokio's hands.
#[derive(Debug)]
pub struct Events {
    socket: AsyncFd<Socket>,
}

impl Events {
    pub(super) fn new(mut socket: Socket) -> Result<Self, Error> {
        socket.set_nonblocking(true)?;
        let socket = platform::register(socket)
            .map_err(|source| Error::System { doing: "wait for a netlink socket", source })?;
        Ok(Self { socket })
    }

    /// Waits for events and hands those of one datagram to `told`. Cancelled, it has lost none.
    ///
    /// # Errors
    /// As [`Socket::receive`]; after [`Error::Overrun`] it goes on with what comes next.
    pub async fn receive(&mut self, mut told: impl FnMut(Message<'_>)) -> Result<(), Error> {
        loop {
            let ready = self.socket.readable_mut().await;
            let mut ready =
                ready.map_err(|source| Error::System { doing: "wait for a netlink socket", source })?;
            if ready.get_inner_mut().receive(&mut told)? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }
}
