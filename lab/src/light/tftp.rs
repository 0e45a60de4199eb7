//! A TFTP client that behaves like the firmware it stands for (RFC 1350, 2347, 2348, 2349, 7440).

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::firmware::Firmware;

const RRQ: u16 = 1;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// Until a packet is repeated.
const WAIT: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 6;

/// A larger loader is none.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Fetches `name`, in the manner of `firmware`.
pub(super) fn fetch(server: Ipv4Addr, name: &str, firmware: Firmware) -> Result<Vec<u8>, String> {
    if firmware == Firmware::Bios {
        return Transfer::open(server, name, &[("blksize", "1432"), ("tsize", "0")])?.receive();
    }
    // UEFI asks for the size first and breaks that transfer off as soon as it knows.
    let options = [("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")];
    let asking = Transfer::open(server, name, &options)?;
    let size = asking.abort()?;
    let body = Transfer::open(server, name, &options[1..])?.receive()?;
    match size {
        Some(size) if size != body.len() => {
            Err(format!("{name} was announced with {size} bytes and has {}", body.len()))
        }
        _ => Ok(body),
    }
}

struct Transfer {
    socket: UdpSocket,
    peer: SocketAddr,
    first: Vec<u8>,
    block_bytes: usize,
    window: u16,
    size: Option<usize>,
}

impl Transfer {
    fn open(server: Ipv4Addr, name: &str, options: &[(&str, &str)]) -> Result<Self, String> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(WAIT)).map_err(|error| error.to_string())?;
        let mut request = RRQ.to_be_bytes().to_vec();
        for text in [name, "octet"].into_iter().chain(options.iter().flat_map(|(key, value)| [*key, *value]))
        {
            request.extend(text.as_bytes());
            request.push(0);
        }
        let mut buffer = vec![0; 2048];
        for _ in 0..ATTEMPTS {
            socket.send_to(&request, (server, 69)).map_err(|error| format!("TFTP: {error}"))?;
            let Some((count, peer)) = receive_from(&socket, &mut buffer)? else { continue };
            let first = buffer[..count].to_vec();
            let mut transfer = Self { socket, peer, first, block_bytes: 512, window: 1, size: None };
            transfer.negotiate(name)?;
            return Ok(transfer);
        }
        Err(format!("no answer to {ATTEMPTS} TFTP requests for {name}"))
    }

    fn negotiate(&mut self, name: &str) -> Result<(), String> {
        match opcode(&self.first) {
            Some(OACK) => {
                let texts: Vec<_> =
                    self.first[2..].split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
                for pair in texts.chunks_exact(2) {
                    let number =
                        pair[1].parse::<usize>().map_err(|_| format!("option {} is no number", pair[0]))?;
                    match pair[0].to_ascii_lowercase().as_str() {
                        "blksize" => self.block_bytes = number,
                        "windowsize" => self.window = u16::try_from(number).unwrap_or(u16::MAX),
                        "tsize" => self.size = Some(number),
                        _ => {}
                    }
                }
                Ok(())
            }
            Some(DATA) => Ok(()),
            Some(ERROR) => Err(format!("{name}: {}", error_text(&self.first))),
            _ => Err(format!("{name}: an answer that is not TFTP")),
        }
    }

    /// Breaks off; returns the announced size.
    fn abort(self) -> Result<Option<usize>, String> {
        let mut error = ERROR.to_be_bytes().to_vec();
        error.extend([0, 8]);
        error.extend(b"User aborted the transfer\0");
        self.send(&error)?;
        Ok(self.size)
    }

    fn receive(self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        let mut expected = 1_u16;
        let mut since_ack = 0;
        let mut silent = 0;
        let mut packet = if opcode(&self.first) == Some(OACK) {
            self.acknowledge(0)?;
            None
        } else {
            Some(self.first.clone())
        };
        let mut buffer = vec![0; 65_536];
        loop {
            let Some(current) = packet.take() else {
                match receive_from(&self.socket, &mut buffer)? {
                    Some((count, peer)) if peer == self.peer => packet = Some(buffer[..count].to_vec()),
                    Some(_) => {}
                    None if silent == ATTEMPTS => return Err("the TFTP transfer fell silent".to_owned()),
                    None => {
                        silent += 1;
                        since_ack = 0;
                        self.acknowledge(expected.wrapping_sub(1))?;
                    }
                }
                continue;
            };
            silent = 0;
            match opcode(&current) {
                Some(DATA) if current.len() >= 4 => {
                    let block = u16::from_be_bytes([current[2], current[3]]);
                    if block != expected {
                        // A gap or a repetition: say where we stand, the sender goes on from there.
                        since_ack = 0;
                        self.acknowledge(expected.wrapping_sub(1))?;
                        continue;
                    }
                    body.extend_from_slice(&current[4..]);
                    if body.len() > BYTES_MAX {
                        return Err(format!("more than {BYTES_MAX} bytes"));
                    }
                    let last = current.len() - 4 < self.block_bytes;
                    since_ack += 1;
                    if last || since_ack == self.window {
                        since_ack = 0;
                        self.acknowledge(block)?;
                    }
                    if last {
                        return Ok(body);
                    }
                    expected = expected.wrapping_add(1);
                }
                Some(ERROR) => return Err(error_text(&current)),
                // A repeated OACK: our first acknowledgement was lost.
                Some(OACK) if expected == 1 => self.acknowledge(0)?,
                _ => {}
            }
        }
    }

    fn acknowledge(&self, block: u16) -> Result<(), String> {
        self.send(&[ACK.to_be_bytes(), block.to_be_bytes()].concat())
    }

    fn send(&self, packet: &[u8]) -> Result<(), String> {
        self.socket.send_to(packet, self.peer).map(|_| ()).map_err(|error| format!("TFTP: {error}"))
    }
}

fn receive_from(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<(usize, SocketAddr)>, String> {
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(format!("TFTP: {error}")),
    }
}

fn opcode(packet: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*packet.first()?, *packet.get(1)?]))
}

fn error_text(packet: &[u8]) -> String {
    let text = packet.get(4..).unwrap_or_default();
    format!("TFTP error {}", String::from_utf8_lossy(text).trim_end_matches('\0'))
}
