//! The result of planning: the bytes of each component, and the peak for each way of keeping them.

use crate::{Error, Result};

/// The memory of one component in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentNeeds {
    /// Its name.
    pub name: String,
    /// The size of its tensors in the files.
    pub disk: u64,
    /// Its weights in memory.
    pub weights: u64,
    /// The peak while it is loaded.
    pub loading: u64,
    /// Working memory besides the weights.
    pub work: u64,
    /// The peak with streamed blocks; `None` for components that cannot be streamed.
    pub offloaded: Option<u64>,
}

/// How a pipeline keeps its components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// All of them, from the first picture on.
    All,
    /// One at a time: each is loaded when it is needed, and dropped afterwards.
    InTurn,
    /// One at a time, and the denoiser's blocks are read from disk during each step.
    Offload,
}

impl Keeping {
    /// What the options `--low-memory` and `--offload` ask for; `None` without them.
    pub fn asked(low_memory: bool, offload: bool) -> Option<Self> {
        match (low_memory, offload) {
            (_, true) => Some(Self::Offload),
            (true, false) => Some(Self::InTurn),
            (false, false) => None,
        }
    }

    /// The ways to consider, the fastest first: the one that was asked for, or else those that read each weight once for a
    /// picture.
    pub fn ways(asked: Option<Self>) -> &'static [Self] {
        match asked {
            None => &[Self::All, Self::InTurn],
            Some(Self::All) => &[Self::All],
            Some(Self::InTurn) => &[Self::InTurn],
            Some(Self::Offload) => &[Self::Offload],
        }
    }
}

/// The memory of a model for a picture of some size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Its components, in the order in which a run needs them.
    pub components: Vec<ComponentNeeds>,
}

impl Needs {
    /// The peak in bytes.
    pub fn peak(&self, keeping: Keeping) -> u64 {
        let mut most = 0;
        let mut held = 0;
        for component in &self.components {
            let ComponentNeeds { weights, loading, work, offloaded, .. } = component;
            match keeping {
                Keeping::All => {
                    most = most.max(held + loading);
                    held += weights;
                }
                Keeping::Offload if offloaded.is_some() => most = most.max(offloaded.unwrap_or(0)),
                Keeping::InTurn | Keeping::Offload => most = most.max(*loading).max(weights + work),
            }
        }
        let work = self.components.iter().map(|component| component.work).max().unwrap_or(0);
        most.max(if keeping == Keeping::All { held + work } else { 0 })
    }

    /// The size of all tensors in the files, in bytes.
    pub fn disk(&self) -> u64 {
        self.components.iter().map(|component| component.disk).sum()
    }

    /// The fastest way of keeping the components that fits.
    ///
    /// # Errors
    /// [`Error::InsufficientMemory`] if none fits, with the numbers and advice.
    pub fn choose(&self, available: u64, allowed: &[Keeping]) -> Result<Keeping> {
        let fits = |keeping: &&Keeping| self.peak(**keeping) <= available;
        if let Some(keeping) = allowed.iter().find(fits) {
            return Ok(*keeping);
        }
        let needed = allowed.iter().map(|keeping| self.peak(*keeping)).min().unwrap_or(0);
        Err(Error::InsufficientMemory { needed, available, advice: self.advice(available, allowed) })
    }

    /// Advice on how to make it fit.
    fn advice(&self, available: u64, allowed: &[Keeping]) -> String {
        let mut advice = Vec::new();
        let offloaded = self.peak(Keeping::Offload);
        if !allowed.contains(&Keeping::Offload) && offloaded <= available {
            advice.push(format!("--offload needs {}", gibibytes(offloaded)));
        }
        let largest = self.components.iter().max_by_key(|component| component.weights);
        let work = self.components.iter().map(|component| component.work).max().unwrap_or(0);
        let [height, width] = self.size;
        if work > available / 2 {
            advice.push(format!("a size below {width}x{height}, or --tiling on"));
        }
        if let Some(largest) = largest.filter(|largest| largest.weights > available / 2) {
            let held = gibibytes(largest.weights);
            advice.push(format!("fewer bits (`easel quantize`; its {} alone has {held})", largest.name));
        }
        if advice.is_empty() {
            advice.push("free some memory".into());
        }
        advice.join("; ")
    }
}

/// Formats a number of bytes for messages.
pub fn gibibytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 1000.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn needs() -> Needs {
        let component = |name: &str, weights, work, offloaded: Option<u64>| ComponentNeeds {
            name: name.into(),
            disk: weights * MIB,
            weights: weights * MIB,
            loading: (weights + 10) * MIB,
            work: work * MIB,
            offloaded: offloaded.map(|bytes| bytes * MIB),
        };
        let components = vec![
            component("encoder", 300, 5, None),
            component("denoiser", 1000, 200, Some(300)),
            component("decoder", 100, 150, None),
        ];
        Needs { size: [512, 512], components }
    }

    #[test]
    fn every_way_of_keeping_components_has_its_peak() {
        let needs = needs();
        assert_eq!(needs.peak(Keeping::All), 1600 * MIB, "all weights, and the most that one takes to work");
        assert_eq!(needs.peak(Keeping::InTurn), 1200 * MIB, "the denoiser at work");
        assert_eq!(needs.peak(Keeping::Offload), 310 * MIB, "the text encoder while it is loaded");
        assert_eq!(needs.disk(), 1400 * MIB);
    }

    #[test]
    fn the_fastest_way_that_fits_is_chosen_or_the_error_has_numbers() {
        let needs = needs();
        let all = [Keeping::All, Keeping::InTurn];
        assert_eq!(needs.choose(1600 * MIB, &all).unwrap(), Keeping::All);
        assert_eq!(needs.choose(1600 * MIB - 1, &all).unwrap(), Keeping::InTurn);
        let text = needs.choose(1100 * MIB, &all).unwrap_err().to_string();
        assert_eq!(
            text,
            "not enough memory: at least 1.2 GiB needed, 1.1 GiB free; --offload needs 310 MiB; fewer bits (`easel \
             quantize`; its denoiser alone has 1.0 GiB)"
        );
        let text = needs.choose(200 * MIB, &[Keeping::Offload]).unwrap_err().to_string();
        assert!(
            text.starts_with("not enough memory: at least 310 MiB needed, 200 MiB free; a size below 512x512"),
            "{text}"
        );
    }
}
