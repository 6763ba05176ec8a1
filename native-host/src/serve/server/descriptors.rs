//! How many connections the system's limit on open files leaves room for.

/// File descriptors reserved for other uses: the database and its log, pictures, the engines' models and devices, the
/// runtime. Pictures are opened for one piece at a time, on few threads.
const RESERVED: usize = 192;

/// The most connections, after raising the limit as far as the system allows.
pub(super) fn room() -> usize {
    below(limit())
}

/// The part of a limit for connections: half of a small one.
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
    // `None` means unlimited.
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
    fn some_files_are_reserved() {
        assert_eq!([below(1024), below(256), below(20)], [832, 128, 10]);
        assert!(room() > 0);
    }
}
