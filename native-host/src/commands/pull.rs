use crate::args::PullArgs;
pub(crate) fn pull(_: &PullArgs) -> anyhow::Result<()> {
    anyhow::bail!("models cannot be loaded yet")
}
