//! A cache of the text encoders' output. Another picture with the same text then needs no text encoder, which matters
//! most if components are loaded on demand: see [`LoadOptions::low_memory`](super::LoadOptions).
//!
//! The cache belongs to its pipeline. It has a limit, above which the least recently used entries are dropped.

use crate::families::{Prompts, TextStates};
use crate::pipeline::{Prompt, PromptOptions};
use crate::{Device, Result, Tensor};

/// The most bytes to keep: enough for seven prompts of Stable Diffusion 3 with guidance and T5. Web pages have less
/// memory.
const MOST: usize = if cfg!(target_arch = "wasm32") { 16 << 20 } else { 64 << 20 };

/// The whole input of the text encoders.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Texts {
    /// The prompts, without their seeds.
    batch: Vec<Prompt>,
    guided: bool,
    options: PromptOptions,
}

impl Texts {
    /// The texts of a batch.
    pub(super) fn of(prompts: &Prompts<'_>) -> Self {
        let batch = prompts.batch.iter().map(|prompt| Prompt { seed: 0, ..prompt.clone() }).collect();
        Self { batch, guided: prompts.guided, options: prompts.request.prompt_options }
    }
}

/// The states of earlier texts.
pub(super) struct Embeddings {
    /// Entries in the order of their last use.
    entries: Vec<Entry>,
    most: usize,
}

struct Entry {
    texts: Texts,
    states: Vec<TextStates>,
    bytes: usize,
}

impl Default for Embeddings {
    fn default() -> Self {
        Self { entries: Vec::new(), most: MOST }
    }
}

impl Embeddings {
    /// The states of all text encoders for these texts, if they are cached.
    pub(super) fn find(&mut self, texts: &Texts) -> Option<Vec<TextStates>> {
        let found = self.entries.iter().position(|entry| entry.texts == *texts)?;
        let entry = self.entries.remove(found);
        let states = entry.states.clone();
        self.entries.push(entry);
        Some(states)
    }

    /// Adds states in host memory, and drops the oldest entries above the limit.
    pub(super) fn keep(&mut self, texts: Texts, states: Vec<TextStates>) {
        let bytes = states.iter().map(bytes).sum();
        if bytes > self.most {
            return;
        }
        self.entries.retain(|entry| entry.texts != texts);
        let mut all = bytes + self.entries.iter().map(|entry| entry.bytes).sum::<usize>();
        while all > self.most {
            all -= self.entries.remove(0).bytes;
        }
        self.entries.push(Entry { texts, states, bytes });
    }
}

fn bytes(states: &TextStates) -> usize {
    let elements = states.hidden.elements() + states.pooled.as_ref().map_or(0, Tensor::elements);
    elements * size_of::<f32>()
}

/// Copies states to host memory of exactly their size. Buffers that ops reuse may be larger.
pub(super) async fn to_keep(states: &TextStates) -> Result<TextStates> {
    let pooled = match &states.pooled {
        Some(pooled) => Some(copy(pooled).await?),
        None => None,
    };
    Ok(TextStates { hidden: copy(&states.hidden).await?, pooled, warnings: states.warnings.clone() })
}

async fn copy(tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(tensor.to_vec().await?, tensor.shape(), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(prompt: &str) -> Texts {
        let batch = vec![Prompt { text: prompt.into(), ..Prompt::default() }];
        Texts { batch, guided: true, options: PromptOptions::default() }
    }

    fn states(value: f32) -> Vec<TextStates> {
        let tensor = |length| Tensor::from_vec(vec![value; length], &[1, length], &Device::Cpu).unwrap();
        vec![TextStates { hidden: tensor(8), pooled: Some(tensor(2)), warnings: vec!["cut".into()] }]
    }

    fn value(found: Option<Vec<TextStates>>) -> Option<f32> {
        let hidden = &found?[0].hidden;
        Some(pollster::block_on(hidden.to_vec()).unwrap()[0])
    }

    #[test]
    fn the_least_recently_used_are_dropped_above_the_limit() {
        // Each entry has 40 bytes.
        let mut kept = Embeddings { entries: Vec::new(), most: 100 };
        kept.keep(texts("a"), states(1.0));
        kept.keep(texts("b"), states(2.0));
        assert_eq!(value(kept.find(&texts("a"))), Some(1.0));
        kept.keep(texts("c"), states(3.0));
        assert_eq!(kept.entries.iter().map(|entry| entry.bytes).sum::<usize>(), 80);
        assert!(kept.find(&texts("b")).is_none(), "a was used after it");
        assert_eq!(value(kept.find(&texts("a"))), Some(1.0));
        assert_eq!(value(kept.find(&texts("c"))), Some(3.0));
        kept.keep(texts("c"), states(4.0));
        assert_eq!((value(kept.find(&texts("c"))), kept.entries.len()), (Some(4.0), 2));
        kept.most = 10;
        kept.keep(texts("d"), states(5.0));
        assert!(kept.find(&texts("d")).is_none(), "it alone is more than there is room for");
    }

    #[test]
    fn every_input_of_an_encoder_distinguishes_texts() {
        let mut kept = Embeddings::default();
        kept.keep(texts("a"), states(1.0));
        let others = [
            Texts { guided: false, ..texts("a") },
            Texts { options: PromptOptions { clip_skip: 1, ..PromptOptions::default() }, ..texts("a") },
            Texts { batch: [texts("a").batch, texts("a").batch].concat(), ..texts("a") },
            Texts {
                batch: vec![Prompt { negative: Some(String::new()), ..texts("a").batch[0].clone() }],
                ..texts("a")
            },
        ];
        assert!(others.iter().all(|other| kept.find(other).is_none()));
        assert!(kept.find(&texts("a")).is_some());
    }
}
