//! `Weights`: tensors by name, the input of a model's constructor.

use super::jobs::is_kernel;
use super::random::RandomTensors;
use super::stream::Lazy;
use crate::lock::lock;
use crate::tensor::Products;
use crate::{DType, Device, Error, Result, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The tensors of one component (a text encoder, a denoiser, an autoencoder) on their device, under a name prefix.
///
/// Cloning and [`pp`](Self::pp) are cheap: all views share the tensors and the record of those that were used.
#[derive(Clone)]
pub struct Weights {
    shared: Arc<Shared>,
    prefix: String,
    products: Products,
}

struct Shared {
    /// The file or folder, for error messages.
    file: String,
    tensors: Mutex<BTreeMap<String, Tensor>>,
    /// Generates the tensors that are not in `tensors`.
    random: Option<RandomTensors>,
    /// Reads the tensors that are not in `tensors`, each time that they are taken.
    lazy: Option<Lazy>,
    taken: Arc<Mutex<BTreeSet<String>>>,
}

impl Weights {
    /// Wraps tensors. Convolution kernels must already be `[out, kh, kw, in]`.
    pub fn new(file: impl Into<String>, tensors: BTreeMap<String, Tensor>) -> Self {
        let tensors = Mutex::new(tensors);
        Self::over(Shared { file: file.into(), tensors, random: None, lazy: None, taken: Arc::default() })
    }

    /// Generates every tensor that a model requests, in this type on this device: see `RandomTensors`. Optional ones do
    /// not exist, and [`contains`](Self::contains) is always false.
    pub fn random(dtype: DType, device: &Device) -> Self {
        let random = Some(RandomTensors { dtype, device: device.clone() });
        let file = "random weights".into();
        Self::over(Shared { file, tensors: Mutex::default(), random, lazy: None, taken: Arc::default() })
    }

    /// Tensors that are read each time that they are taken, and not kept here.
    #[cfg(feature = "native")]
    pub(super) fn streamed(file: &str, lazy: Lazy) -> Self {
        let tensors = Mutex::default();
        Self::over(Shared { file: file.to_owned(), tensors, random: None, lazy: Some(lazy), taken: Arc::default() })
    }

    /// The same view over another reader. What is taken from it counts here too.
    #[cfg(feature = "native")]
    pub(super) fn reading(&self, lazy: Lazy) -> Self {
        let Shared { file, taken, .. } = &*self.shared;
        let taken = Arc::clone(taken);
        let shared = Shared { file: file.clone(), tensors: Mutex::default(), random: None, lazy: Some(lazy), taken };
        Self { shared: Arc::new(shared), prefix: self.prefix.clone(), products: self.products }
    }

    /// The reader of streamed weights.
    #[cfg(feature = "native")]
    pub(super) fn lazy(&self) -> Option<&Lazy> {
        self.shared.lazy.as_ref()
    }

    fn over(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), prefix: String::new(), products: Products::F32 }
    }

    /// The same tensors for products of this type.
    pub fn with_products(self, products: Products) -> Self {
        Self { products, ..self }
    }

    /// The view of all tensors under `name.` (a number works too: `weights.pp(0)`).
    pub fn pp(&self, name: impl ToString) -> Self {
        Self { prefix: self.full_name(&name.to_string()), ..self.clone() }
    }

    /// Whether there is a tensor of this name under the prefix.
    pub fn contains(&self, name: &str) -> bool {
        let name = self.full_name(name);
        self.shared.lazy.as_ref().is_some_and(|lazy| lazy.contains(&name))
            || lock(&self.shared.tensors).contains_key(&name)
    }

    /// The tensor `name`, which must have this shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.take(name, shape, shape)
    }

    /// The convolution kernel `name`: `[out, in, kh, kw]` in the file, `[out, kh, kw, in]` here.
    pub fn conv(&self, name: &str, [o, i, kh, kw]: [usize; 4]) -> Result<Tensor> {
        self.take(name, &[o, kh, kw, i], &[o, i, kh, kw])
    }

    /// Like [`get`](Self::get), for a weight that is only used in products: see [`Tensor::prepared`]. The tensor stored
    /// here is prepared too, so that no weight is in memory twice.
    pub fn prepared(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.prepare(name, shape, shape)
    }

    /// Like [`conv`](Self::conv), for a kernel that is only used in products.
    pub fn prepared_conv(&self, name: &str, [o, i, kh, kw]: [usize; 4]) -> Result<Tensor> {
        self.prepare(name, &[o, kh, kw, i], &[o, i, kh, kw])
    }

    /// The tensor `name`, if it exists; it must have this shape.
    pub fn optional(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        if self.contains(name) { self.get(name, shape).map(Some) } else { Ok(None) }
    }

    /// Called after a model is built: fails if tensors are unused, and names them, except those that `ignore` accepts.
    pub fn finish(&self, ignore: impl Fn(&str) -> bool) -> Result<()> {
        let taken = lock(&self.shared.taken);
        let all: BTreeSet<String> = match &self.shared.lazy {
            Some(lazy) => lazy.names(),
            None => lock(&self.shared.tensors).keys().cloned().collect(),
        };
        let names: Vec<String> = all.into_iter().filter(|name| !taken.contains(name) && !ignore(name)).collect();
        if names.is_empty() { Ok(()) } else { Err(Error::ExtraTensors { file: self.shared.file.clone(), names }) }
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    fn prepare(&self, name: &str, shape: &[usize], file_shape: &[usize]) -> Result<Tensor> {
        let tensor = self.take(name, shape, file_shape)?;
        let name = self.full_name(name);
        let prepared = tensor.prepared(self.products)?;
        if let Some(kept) = lock(&self.shared.tensors).get_mut(&name) {
            *kept = prepared.clone();
        }
        Ok(prepared)
    }

    /// Looks up `name` and checks its shape. Errors state shapes in the file's layout.
    fn take(&self, name: &str, shape: &[usize], file_shape: &[usize]) -> Result<Tensor> {
        let name = self.full_name(name);
        let file = || self.shared.file.clone();
        let held = lock(&self.shared.tensors).get(&name).cloned();
        let found = match &self.shared.lazy {
            Some(lazy) => lazy.take(&name)?,
            None => held,
        };
        let Some(tensor) = found else {
            if let Some(random) = &self.shared.random {
                return random.tensor(&name, shape);
            }
            return Err(Error::MissingTensor { file: file(), name, expected: file_shape.to_vec() });
        };
        if tensor.shape() != shape {
            let got = match *tensor.shape() {
                [o, kh, kw, i] if is_kernel(&name) => vec![o, i, kh, kw],
                ref other => other.to_vec(),
            };
            return Err(Error::TensorShape { file: file(), name, expected: file_shape.to_vec(), got });
        }
        lock(&self.shared.taken).insert(name);
        Ok(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_weights_have_the_shape_and_type_asked_for_and_unit_gain() {
        let weights = Weights::random(DType::Bf16, &Device::Cpu).pp("block");
        let kernel = weights.conv("conv.weight", [4, 64, 3, 3]).unwrap();
        assert_eq!((kernel.shape(), kernel.dtype()), ([4, 3, 3, 64].as_slice(), DType::Bf16));
        let again = Weights::random(DType::Bf16, &Device::Cpu).conv("block.conv.weight", [4, 64, 3, 3]).unwrap();
        let numbers = pollster::block_on(kernel.to_vec()).unwrap();
        let again = pollster::block_on(again.to_vec()).unwrap();
        assert_eq!(numbers, again);
        let power = numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / numbers.len() as f64;
        assert!((power * 576.0 - 1.0).abs() < 0.1, "{power}");
        let norm = weights.get("norm.weight", &[2]).unwrap();
        assert_eq!(pollster::block_on(norm.to_vec()).unwrap(), [1.0, 1.0]);
        assert!(weights.optional("bias", &[2]).unwrap().is_none());
        weights.finish(|_| false).unwrap();
    }
}
