//! How many connections the system's limit on open files leaves room for.

/// Files that are never given to connections: the database and its log, pictures that are read and written, the engines'
/// models and devices, the runtime. Pictures are opened for one piece at a time, on few threads.
const RESERVED: usize = 192;

/// The most connections, after the limit was raised as far as the system lets this process raise it.
pub(super) fn room() -> usize {
    below(limit())
}

/// Half of a small limit goes to connections.
fn below(limit: usize) -> usize {
    limit.saturating_sub(RESERVED).max(limit / 2)
}

#[cfg(unix)]
fn limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    if limits.current != limits.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        tracing::debug!(limit = limits.current, "the limit on open files could not be raised");
    }
    // No number means no limit.
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Other systems do not count sockets as files.
#[cfg(not(unix))]
fn limit() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_back_from_connections() {
        assert_eq!([below(1024), below(256), below(20)], [832, 128, 10]);
        assert!(room() > 0);
    }
}
