//! What operators want.

use std::time::Duration;

use faros_common::clock;
use faros_common::events::Event;
use tracing::info;

use super::Director;
use super::state::State;
use crate::pool::Cut;
use crate::protocol::health::Mode;
use crate::protocol::roster::Phase;
use crate::store::Added;

/// Servers of one front end; no more can be added. The kernel plane takes as many.
const SERVERS_MAX: usize = 256;

/// Why a wish is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such front end or server.
    Unknown(String),
    /// It contradicts what is there.
    Conflict(String),
}

impl Director {
    /// Drains, enables or maintains a server. `cut_after`: when connections of a drained server are cut; `None`: never.
    ///
    /// # Errors
    /// There is no such server.
    pub fn set_mode(
        &self,
        frontend: &str,
        name: &str,
        mode: Mode,
        cut_after: Option<Duration>,
    ) -> Result<(), Refusal> {
        let now = clock::now();
        let mut state = self.lock();
        let index = front(&state, frontend)?;
        let members = &mut state.fronts[index].members;
        let Some(member) = members.iter_mut().find(|member| *member.server.name == *name) else {
            return Err(no_server(&state, index, name));
        };
        let server = std::sync::Arc::clone(&member.server);
        member.drained_by = match mode {
            Mode::Drained => cut_after.map(|after| now + after),
            Mode::Enabled | Mode::Maintenance => None,
        };
        let change = member.machine.operator(mode, now);
        info!(
            event = "lb_operator",
            frontend,
            server = name,
            mode = mode.as_str(),
            "an operator decides on a server"
        );
        state.unsaved = true;
        state.announce(&server, change, now);
        state.settle(now);
        drop(state);
        self.nudge();
        Ok(())
    }

    /// Adds a server.
    ///
    /// # Errors
    /// There is no such front end, or its name or address is taken.
    pub fn add_server(&self, frontend: &str, added: &Added) -> Result<(), Refusal> {
        let now = clock::now();
        let mut state = self.lock();
        let index = front(&state, frontend)?;
        if state.fronts[index].config.listen.contains(&added.address) {
            return Err(Refusal::Conflict(format!("{} is the front end itself", added.address)));
        }
        if state.fronts[index].members.len() >= SERVERS_MAX {
            return Err(Refusal::Conflict(format!("{frontend} has {SERVERS_MAX} servers already")));
        }
        if state.fronts[index].add(added, now).is_none() {
            let reason =
                format!("{frontend} has a server {} or one at {} already", added.name, added.address);
            return Err(Refusal::Conflict(reason));
        }
        info!(event = "lb_server_added", frontend, server = added.name, address = %added.address, "an operator adds a server");
        let event = Event::new("lb_server_added").address(added.address.ip()).with("frontend", frontend);
        self.events.emit(event.with("server", added.name.as_str()).with("persist", added.persist));
        self.members_changed(state, index)
    }

    /// Removes a server. Its connections go on, or are reset with `cut`.
    ///
    /// # Errors
    /// There is no such server.
    pub fn remove_server(&self, frontend: &str, name: &str, persist: bool, cut: bool) -> Result<(), Refusal> {
        let mut state = self.lock();
        let index = front(&state, frontend)?;
        let Some(server) = state.fronts[index].remove(name, persist) else {
            return Err(no_server(&state, index, name));
        };
        info!(event = "lb_server_removed", frontend, server = name, "an operator removes a server");
        let event = Event::new("lb_server_removed").address(server.address.ip()).with("frontend", frontend);
        self.events.emit(event.with("server", name).with("persist", persist));
        state.settle(clock::now());
        if cut {
            state.hang_up(&server, Cut::MarkedDown);
        }
        self.members_changed(state, index)
    }

    /// Retires the bootstrap machine of a front end now, or recalls it.
    ///
    /// # Errors
    /// There is no such front end, it has none, or it stands so already.
    pub fn set_bootstrap(&self, frontend: &str, retired: bool) -> Result<(), Refusal> {
        let mut state = self.lock();
        let index = front(&state, frontend)?;
        let Some(retirement) = &mut state.fronts[index].retirement else {
            return Err(Refusal::Conflict(format!("{frontend} has no bootstrap machine")));
        };
        let Some(change) = retirement.operator(retired) else {
            return Err(Refusal::Conflict(format!(
                "it stands so already: {}",
                retirement.because(clock::now())
            )));
        };
        let id =
            if change.phase == Phase::Retired { "lb_bootstrap_retired" } else { "lb_bootstrap_recalled" };
        info!(event = id, frontend, reason = change.reason, "an operator decides on the bootstrap machine");
        self.events.emit(Event::new(id).with("frontend", frontend).with("reason", change.reason));
        self.members_changed(state, index)
    }

    fn members_changed(
        &self,
        mut state: std::sync::MutexGuard<'_, State>,
        index: usize,
    ) -> Result<(), Refusal> {
        let now = clock::now();
        state.unsaved = true;
        state.settle(now);
        // Another server may be one that the kernel cannot forward to.
        state.choose(index);
        state.settle(now);
        drop(state);
        self.nudge();
        Ok(())
    }
}

fn front(state: &State, name: &str) -> Result<usize, Refusal> {
    let found = state.fronts.iter().position(|front| *front.config.name == *name);
    found.ok_or_else(|| {
        let names: Vec<&str> = state.fronts.iter().map(|front| &*front.config.name).collect();
        Refusal::Unknown(format!("there is no front end {name}; there are: {}", names.join(", ")))
    })
}

fn no_server(state: &State, index: usize, name: &str) -> Refusal {
    let front = &state.fronts[index];
    let names: Vec<&str> = front.members.iter().map(|member| &*member.server.name).collect();
    Refusal::Unknown(format!("{} has no server {name}; it has: {}", front.config.name, names.join(", ")))
}
