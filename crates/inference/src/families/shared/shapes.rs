//! Looks up names and shapes of the tensors of one component.

use super::names::Tensors;
use crate::{Error, Result};

/// Names and shapes of one component's tensors.
pub(in crate::families) struct Shapes<'a> {
    file: &'a str,
    component: &'a str,
    tensors: &'a Tensors,
}

impl<'a> Shapes<'a> {
    pub(in crate::families) fn new(file: &'a str, component: &'a str, tensors: &'a Tensors) -> Self {
        Self { file, component, tensors }
    }

    /// The shape of a tensor, if it exists.
    pub(in crate::families) fn find(&self, name: &str) -> Option<&'a [usize]> {
        self.tensors.get(name).map(|view| view.shape())
    }

    /// The size of an axis of a required tensor.
    pub(in crate::families) fn size(&self, name: &str, axis: usize) -> Result<usize> {
        let size = self.find(name).and_then(|shape| shape.get(axis)).copied().filter(|size| *size > 0);
        size.ok_or_else(|| {
            let component = self.component;
            Error::format(
                self.file,
                format!("cannot tell the shape of the {component}: {name} is missing or too small"),
            )
        })
    }

    /// Whether any tensor's name has this prefix.
    pub(in crate::families) fn has(&self, prefix: &str) -> bool {
        self.tensors.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// The length of a numbered list of layers: `blocks.0.`, `blocks.1.`, ...
    pub(in crate::families) fn count(&self, list: &str) -> usize {
        (0..).take_while(|i| self.has(&format!("{list}.{i}."))).count()
    }
}
