//! The options of several hosts on one queue, the same for all commands that are such hosts.

use clap::Args;

#[derive(Args)]
pub(crate) struct ClusterArgs {
    /// A PostgreSQL database for the tasks, which several hosts can share: postgres://USER:PASSWORD@HOST/NAME. The
    /// environment is a better place for the password than a command line
    #[arg(long, value_name = "URL", env = "EASEL_STORE", hide_env_values = true, hide = !cfg!(feature = "cluster"))]
    pub(crate) store: Option<String>,
    /// Where hosts that share a database have the pictures: s3://BUCKET/PREFIX, gs://, az:// or file:///FOLDER; keys and
    /// endpoints come from the environment, as for the providers' own tools
    #[arg(long, value_name = "URL", env = "EASEL_PICTURES", hide_env_values = true, hide = !cfg!(feature = "cluster"))]
    pub(crate) pictures: Option<String>,
    /// How many seconds a host may be silent before its tasks are given to another one [default: 30]
    #[arg(long, value_name = "SECONDS", hide = !cfg!(feature = "cluster"))]
    pub(crate) lease: Option<u64>,
}
