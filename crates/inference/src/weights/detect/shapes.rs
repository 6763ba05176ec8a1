//! Questions to the tensors of one component.

use crate::weights::component::Component;
use crate::weights::names::Tensors;
use crate::{Error, Result};

/// Names and shapes of one component's tensors.
pub(super) struct Shapes<'a> {
    file: &'a str,
    component: Component,
    tensors: &'a Tensors,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(file: &'a str, component: Component, tensors: &'a Tensors) -> Self {
        Self { file, component, tensors }
    }

    /// The shape of a tensor, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<&'a [usize]> {
        self.tensors.get(name).map(|view| view.shape())
    }

    /// The size of one axis of a tensor that every such component has.
    pub(super) fn size(&self, name: &str, axis: usize) -> Result<usize> {
        let size = self.find(name).and_then(|shape| shape.get(axis)).copied().filter(|size| *size > 0);
        size.ok_or_else(|| {
            let component = self.component.folder();
            Error::format(
                self.file,
                format!("cannot tell the shape of the {component}: {name} is missing or too small"),
            )
        })
    }

    /// Whether any tensor's name begins like this.
    pub(super) fn has(&self, prefix: &str) -> bool {
        self.tensors.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// How many there are of what is numbered from 0 on: `blocks.0.`, `blocks.1.`, ...
    pub(super) fn count(&self, list: &str) -> usize {
        (0..).take_while(|i| self.has(&format!("{list}.{i}."))).count()
    }
}
