//! What a request is about.

/// A method and a path that mean something. Borrowed from the request's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `GET /adv`: the advertisement.
    Advertise,
    /// `GET /adv/{thumbprint}`: the advertisement, also signed by the named key.
    AdvertiseKey(&'a str),
    /// `POST /rec/{thumbprint}`: an exchange with the named key.
    Recover(&'a str),
}

/// Why a method and a path mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No such path (404).
    Path,
    /// The path takes another method (405).
    Method,
}

impl<'a> Route<'a> {
    /// The route of a request whose target is `target`, as it stands in the request line: nothing is decoded, and a query is part
    /// of it, so that it has no route.
    ///
    /// # Errors
    /// [`NoRoute`]: the path is looked at before the method.
    pub fn of(method: &str, target: &'a str) -> Result<Self, NoRoute> {
        let (route, takes) = Self::of_path(target).ok_or(NoRoute::Path)?;
        if method == takes { Ok(route) } else { Err(NoRoute::Method) }
    }

    /// `/+adv/*`, `/+adv/+THUMBPRINT`, `/+rec/+THUMBPRINT`.
    fn of_path(target: &'a str) -> Option<(Self, &'static str)> {
        let path = target.strip_prefix('/')?.trim_start_matches('/');
        if let Some(rest) = path.strip_prefix("adv") {
            let name = rest.trim_start_matches('/');
            if name.is_empty() {
                return Some((Self::Advertise, "GET"));
            }
            return (name.len() < rest.len() && is_name(name)).then_some((Self::AdvertiseKey(name), "GET"));
        }
        let rest = path.strip_prefix("rec")?;
        let name = rest.trim_start_matches('/');
        (name.len() < rest.len() && is_name(name)).then_some((Self::Recover(name), "POST"))
    }
}

/// Whether a thumbprint may look like this: one or more characters of base64url.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
