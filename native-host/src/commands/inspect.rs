use crate::args::InspectArgs;
pub(crate) fn inspect(_: &InspectArgs) -> anyhow::Result<()> {
    anyhow::bail!("models cannot be loaded yet")
}
