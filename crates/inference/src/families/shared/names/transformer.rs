//! Files of families with a diffusion transformer: how one is recognised and how its tensors are named.

use super::has;
use crate::weights::TensorIndex;

/// The prefix of a transformer under its original names, in files with other components.
pub(in crate::families) const PREFIX: &str = "model.diffusion_model.";

/// A left-over of CLIP's training, after any prefix.
pub(in crate::families) const LEFT_OVER: &str = "logit_scale";

/// The naming of a transformer's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::families) enum Naming {
    /// The original names, after this prefix.
    Original(&'static str),
    /// The names of diffusers.
    Diffusers,
}

/// The tensors by which the transformers of a family are recognised.
pub(in crate::families) struct Signs {
    /// A tensor that all of them have under this original name, after the prefix.
    pub(in crate::families) original: &'static str,
    /// Tensors that all of them have under these diffusers names, and no other family has.
    pub(in crate::families) diffusers: &'static [&'static str],
}

impl Signs {
    /// The naming of the file's transformer, if it has one of this family.
    pub(in crate::families) fn naming(&self, index: &TensorIndex) -> Option<Naming> {
        let is_original = |prefix: &&str| index.get(&format!("{prefix}{}", self.original)).is_some();
        if let Some(prefix) = [PREFIX, ""].into_iter().find(is_original) {
            return Some(Naming::Original(prefix));
        }
        self.diffusers.iter().all(|name| index.get(name).is_some()).then_some(Naming::Diffusers)
    }

    /// The prefix of the file's transformer under its original names.
    pub(in crate::families) fn prefix(&self, index: &TensorIndex) -> &'static str {
        if self.naming(index) == Some(Naming::Original("")) { "" } else { PREFIX }
    }

    /// Whether the file has the transformer, or a component with one of these prefixes, under the original names.
    pub(in crate::families) fn is_original(
        &self,
        index: &TensorIndex,
        mut prefixes: impl Iterator<Item = &'static str>,
    ) -> bool {
        self.prefix(index).is_empty() || has(index, PREFIX) || prefixes.any(|prefix| has(index, prefix))
    }
}
