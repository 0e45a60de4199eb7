//! How the daemon fares: `GET /status`, and what an operator has to see to.

use faros_common::tls::Identity;
use serde_json::{Value, json};

use crate::keys::{KeySet, KeysError};
use crate::seal::Keeper;
use crate::server::FrontDesk;

/// What is asked about.
pub(crate) struct Condition<'d> {
    pub(crate) desk: &'d FrontDesk,
    pub(crate) keeper: &'d Keeper,
    pub(crate) identity: &'d Identity,
    pub(crate) memory_is_locked: bool,
}

impl Condition<'_> {
    /// Our part of `GET /status`. Whoever reads `problems` aloud has said what is to be done.
    pub(crate) fn show(&self) -> Value {
        let config = self.desk.config();
        let keys = self.desk.keys().current();
        let shown = match &keys {
            Ok(set) => json!({
                "advertised": set.keys().filter(|key| key.advertised).count(),
                "rotated": set.keys().filter(|key| key.hidden).count(),
                "sealed": set.is_sealed(),
                "skipped": set.skipped().iter().map(|skipped| json!({ "file": skipped.file, "reason": skipped.reason })).collect::<Vec<_>>(),
            }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let tls = (!config.tls_listen.is_empty())
            .then(|| json!({ "listen": config.tls_listen, "identity": self.identity.state() }));
        json!({
            "listen": config.listen,
            "tls": tls,
            "keys": shown,
            "seal": self.keeper.status(),
            "policy": self.desk.policy().status(),
            "audit": self.desk.audit().state(),
            "memory_locked": self.memory_is_locked,
            "problems": problems(keys.as_deref(), self.desk.audit().state().failure.as_deref()),
        })
    }
}

/// What keeps it from serving as it should. That memory may be swapped is not among them: whoever runs it without the
/// means to lock memory was told at the start.
fn problems(keys: Result<&KeySet, &KeysError>, audit_failure: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    match keys {
        Ok(set) if set.is_sealed() => {
            problems
                .push("the keys are sealed, so no disk is unlocked; see: farosctl tang unseal".to_owned());
        }
        Ok(set) => problems.extend(
            set.skipped()
                .iter()
                .map(|skipped| format!("{} holds no key that can be used: {}", skipped.file, skipped.reason)),
        ),
        Err(error) => problems.push(format!("there are no keys: {error}")),
    }
    if let Some(failure) = audit_failure {
        problems.push(format!("the audit log cannot be written: {failure}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Loaded, PublicCopy, Skipped};

    #[test]
    fn every_problem_is_a_sentence_that_says_what_to_do() {
        let open = |skipped| KeySet::new(Loaded::Open { keys: Vec::new(), skipped });
        assert!(problems(Ok(&open(Vec::new())), None).is_empty());
        let skipped = Skipped { file: "a.jwk".to_owned(), reason: "chown it".to_owned() };
        let said = problems(Ok(&open(vec![skipped])), Some("the disk is full"));
        assert_eq!(
            said,
            [
                "a.jwk holds no key that can be used: chown it",
                "the audit log cannot be written: the disk is full"
            ]
        );
        let copy = PublicCopy { keys: Vec::new(), advertisement: None, signed_by: Vec::new() };
        let said = problems(Ok(&KeySet::new(Loaded::Sealed(copy))), None);
        assert!(said[0].contains("farosctl tang unseal"), "{said:?}");
        assert!(problems(Err(&KeysError::Restless("keys".into())), None)[0].contains("rewriting"));
    }
}
