//! Which plane forwards for a front end, and bringing both in line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faros_common::clock;
use faros_common::events::Event;
use faros_common::site::Plane;
use tracing::{info, warn};

use super::front::{Choice, FrontState};
use super::state::State;

/// After the kernel refused a change, it is asked again after this time.
const KERNEL_RETRY: Duration = Duration::from_secs(5);
/// Where a change takes so long, because there are thousands of servers, the next ones wait as long as it took and go in
/// together.
const KERNEL_BUSY: Duration = Duration::from_millis(50);
/// How often it is looked at whether this host still lets the kernel forward: nobody tells of a switch that is thrown.
const CHOICE_EVERY: Duration = Duration::from_secs(2);

impl State {
    /// Decides anew who forwards, where what this host can do has a say in it.
    pub(super) fn choose_again(&mut self, now: Instant) {
        if self.suspended || now < self.choice_due {
            return;
        }
        self.choice_due = now + CHOICE_EVERY;
        for index in 0..self.fronts.len() {
            if self.fronts[index].config.plane == Plane::Auto {
                self.choose(index);
            }
        }
    }

    /// Who forwards for the front end; decided anew when it, its servers or the configuration change.
    pub(super) fn choose(&mut self, index: usize) {
        let front = &self.fronts[index];
        let wish = front.wish();
        let user = |because: String| Choice { kernel: false, because };
        let choice = match front.config.plane {
            Plane::User => user("the site file says so".to_owned()),
            Plane::Kernel => match self.planes.obstacle(&wish) {
                Some(obstacle) => user(format!("the site file asks for the kernel, but: {obstacle}")),
                None => Choice { kernel: true, because: "the site file says so".to_owned() },
            },
            Plane::Auto => match front.config.needs_user_plane {
                Some(need) => user(need.to_owned()),
                None => match self.planes.obstacle(&wish) {
                    Some(obstacle) => user(obstacle),
                    None => Choice { kernel: true, because: "nothing speaks against it".to_owned() },
                },
            },
        };
        if choice == front.choice {
            return;
        }
        let plane = if choice.kernel { "kernel" } else { "user" };
        let name = front.config.name.to_string();
        if front.config.plane == Plane::Kernel && !choice.kernel {
            warn!(
                event = "lb_plane_chosen",
                frontend = name,
                plane,
                because = choice.because,
                "plane chosen"
            );
        } else {
            info!(
                event = "lb_plane_chosen",
                frontend = name,
                plane,
                because = choice.because,
                "plane chosen"
            );
        }
        let event = Event::new("lb_plane_chosen").with("frontend", name).with("plane", plane);
        self.events.emit(event.with("reason", choice.because.as_str()));
        self.fronts[index].choice = choice;
        self.kernel_stale = true;
    }

    /// Rules for the front ends of the kernel, where they are not as they should be.
    pub(super) fn drive_kernel(&mut self, now: Instant) {
        if !self.kernel_stale || self.suspended || self.kernel_rest.is_some() {
            return;
        }
        let wishes: Vec<_> =
            self.fronts.iter().filter(|front| front.choice.kernel).map(FrontState::wish).collect();
        let began = clock::now();
        let applied = self.planes.apply(&wishes);
        let took = clock::now().saturating_duration_since(began);
        match applied {
            Ok(()) => {
                self.kernel_stale = false;
                self.kernel_rest = (took >= KERNEL_BUSY).then(|| now + took * 2);
                if self.kernel_trouble.take().is_some() {
                    info!(event = "lb_kernel_healed", "the kernel forwards as it should again");
                    self.events.emit(Event::new("lb_kernel_healed"));
                }
            }
            Err(reason) => {
                if self.kernel_trouble.as_ref() != Some(&reason) {
                    warn!(
                        event = "lb_kernel_failed",
                        reason, "the kernel refused a change; it forwards as before"
                    );
                    self.events.emit(Event::new("lb_kernel_failed").with("reason", reason.as_str()));
                }
                self.kernel_trouble = Some(reason);
                self.kernel_rest = Some(now + KERNEL_RETRY);
            }
        }
    }

    /// Has every front end served on its sockets.
    pub(super) fn serve_all(&self) {
        for index in 0..self.fronts.len() {
            self.serve(index);
        }
    }

    pub(super) fn serve(&self, index: usize) {
        let front = &self.fronts[index].front;
        match self.sockets.duplicates(&front.listen) {
            Ok(listeners) => self.planes.serve(Arc::clone(front), listeners),
            Err(error) => {
                warn!(event = "lb_listen_failed", frontend = %front.name, %error, "a front end is not served");
            }
        }
    }
}
