//! Reading a file that somebody named, whatever it turns out to be.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// A pipe (`farosctl check <(generate)`) that brings nothing for so long is given up.
const PIPE_SILENCE_MAX: Duration = Duration::from_secs(2);
/// A silent pipe is looked at again after this time.
const PIPE_RETRY: Duration = Duration::from_millis(5);

/// The content of the file or pipe at `path`; of a longer one the first `bytes_max + 1` bytes.
///
/// # Errors
/// It cannot be read, is a directory, socket or device, or a pipe into which nobody writes: a daemon must not wait
/// for ever for what somebody put into its file's place.
pub(super) fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    // Opening a pipe would otherwise wait for its writer already.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    let mut limited = file.take(bytes_max as u64 + 1);
    let mut bytes = Vec::new();
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    } else if kind.is_fifo() {
        read_pipe(&mut limited, &mut bytes)?;
    } else if kind.is_file() {
        limited.read_to_end(&mut bytes)?;
    } else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a socket or device and no file"));
    }
    Ok(bytes)
}

fn read_pipe(pipe: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut silence = Duration::ZERO;
    let mut piece = [0; 4096];
    loop {
        match pipe.read(&mut piece) {
            Ok(0) if bytes.is_empty() => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it is a pipe that nobody writes into",
                ));
            }
            Ok(0) => return Ok(()),
            Ok(length) => {
                bytes.extend_from_slice(&piece[..length]);
                silence = Duration::ZERO;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && silence < PIPE_SILENCE_MAX => {
                std::thread::sleep(PIPE_RETRY);
                silence += PIPE_RETRY;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it is a pipe that brings nothing"));
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pipe_in(directory: &Path) -> std::path::PathBuf {
        let pipe = directory.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        pipe
    }

    #[test]
    fn what_never_ends_is_refused_without_waiting_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = pipe_in(directory.path());
        for path in [&pipe, Path::new("/dev/zero"), directory.path()] {
            assert!(read(path, 10).is_err(), "{}", path.display());
        }
        // A writer that never writes.
        let _writer = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        assert_eq!(read(&pipe, 10).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = pipe_in(directory.path());
        let mut writer = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        writer.write_all(&[7; 5000]).unwrap();
        assert_eq!(read(&pipe, 10).unwrap().len(), 11);
        let reader =
            crate::tasks::spawn_thread("reader", move || read(&pipe, 10_000).map(|bytes| bytes.len()));
        std::thread::sleep(PIPE_RETRY * 10);
        writer.write_all(&[7; 100]).unwrap();
        std::thread::sleep(PIPE_RETRY * 10);
        drop(writer);
        assert_eq!(reader.unwrap().join().unwrap().unwrap().unwrap(), 5000 - 11 + 100);
    }

    #[test]
    fn a_file_is_read_to_one_byte_beyond_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap().len(), 100);
        assert_eq!(read(&path, 10).unwrap().len(), 11);
    }
}
