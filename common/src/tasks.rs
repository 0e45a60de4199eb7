//! Tasks and threads that do not die silently.
//!
//! A panic costs the packet, request or task it happened in: it is caught, counted and logged, and the
//! service goes on. The release profile therefore unwinds.

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinHandle;
use tracing::error;

/// Panics caught in this process; every daemon exports it as `panics_total`.
pub static PANICS: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Runs `future` as a task of its own; its output is `None` if it panicked.
///
/// Dropping the handle lets the task go on; aborting it drops the future where it waits.
#[expect(clippy::disallowed_methods, reason = "this is the wrapper")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(contain_async(name, future))
}

/// Runs `body` on a thread of its own, named `name` in `ps`; its result is `None` if it panicked.
///
/// # Errors
/// The system's refusal to make a thread.
pub fn spawn_thread<T, F>(name: &'static str, body: F) -> io::Result<std::thread::JoinHandle<Option<T>>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    std::thread::Builder::new().name(name.to_owned()).spawn(move || contain(name, body))
}

/// Runs `body`; a panic in it is counted and logged, and gives `None`.
///
/// What `body` leaves half done is the caller's concern: hand it data that a panic cannot tear.
pub fn contain<T>(name: &'static str, body: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| report(name, &*panic)).ok()
}

/// [`contain`] for a future: gives `None` once the future has panicked.
pub fn contain_async<F: Future>(name: &'static str, future: F) -> impl Future<Output = Option<F::Output>> {
    Contained { name, future: Box::pin(future) }
}

struct Contained<F> {
    name: &'static str,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Contained<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let name = self.name;
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(panic) => {
                report(name, &*panic);
                Poll::Ready(None)
            }
        }
    }
}

fn report(name: &str, panic: &(dyn Any + Send)) {
    PANICS.inc();
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    error!(
        event = "panic_contained",
        task = name,
        message,
        "a defect of ours was contained; please report it"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained_and_counted() {
        let before = PANICS.get();
        assert_eq!(contain("test", || 7), Some(7));
        assert_eq!(contain::<()>("test", || panic!("on purpose")), None);
        assert!(PANICS.get() > before);
    }

    #[tokio::test]
    async fn a_panicking_task_ends_without_output() {
        let task = spawn("test", async {
            tokio::task::yield_now().await;
            assert_eq!(1, 2, "on purpose");
        });
        assert_eq!(task.await.unwrap(), None);
    }
}
