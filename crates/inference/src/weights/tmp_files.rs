//! Temporary.
#![allow(missing_docs)]
use super::Weights;
use crate::{DType, Device, Result, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Component {
    TextEncoder,
    TextEncoder2,
    UNet,
    Vae,
}
impl Component {
    fn folder(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::TextEncoder2 => "text_encoder_2",
            Self::UNet => "unet",
            Self::Vae => "vae",
        }
    }
}
#[derive(Debug)]
pub struct ModelFiles {
    dir: PathBuf,
    configs: BTreeMap<&'static str, Value>,
    scheduler: Value,
    index: Value,
}
pub struct Tok {
    pub folder: String,
    pub merges: Vec<u8>,
    pub vocab: Option<Vec<u8>>,
    pub special_tokens_map: Option<Vec<u8>>,
    pub tokenizer_config: Option<Vec<u8>>,
}
impl ModelFiles {
    pub async fn open_dir(dir: &Path, _: Option<&str>) -> Result<Self> {
        let j = |p: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(p).unwrap()).unwrap() };
        let mut configs = BTreeMap::new();
        for c in ["text_encoder", "text_encoder_2", "unet", "vae"] {
            if dir.join(c).is_dir() {
                configs.insert(c, j(dir.join(c).join("config.json")));
            }
        }
        Ok(Self {
            dir: dir.into(),
            configs,
            scheduler: j(dir.join("scheduler/scheduler_config.json")),
            index: j(dir.join("model_index.json")),
        })
    }
    pub fn has(&self, c: Component) -> bool {
        self.configs.contains_key(c.folder())
    }
    pub fn config(&self, c: Component) -> Result<&Value> {
        Ok(&self.configs[c.folder()])
    }
    pub fn config_name(&self, c: Component) -> String {
        format!("{}/config.json", c.folder())
    }
    pub fn scheduler_config(&self) -> &Value {
        &self.scheduler
    }
    pub fn index(&self) -> &Value {
        &self.index
    }
    pub fn pads_with_end_of_text(&self, _: Component) -> bool {
        true
    }
    pub async fn tokenizer(&self, c: Component) -> Result<Option<Tok>> {
        let d = self.dir.join(if c == Component::TextEncoder2 { "tokenizer_2" } else { "tokenizer" });
        let r = |n: &str| std::fs::read(d.join(n)).ok();
        Ok(Some(Tok {
            folder: "tokenizer".into(),
            merges: r("merges.txt").unwrap(),
            vocab: r("vocab.json"),
            special_tokens_map: r("special_tokens_map.json"),
            tokenizer_config: r("tokenizer_config.json"),
        }))
    }
    pub async fn weights(&self, c: Component, device: &Device, _: Option<DType>) -> Result<Weights> {
        let d = self.dir.join(c.folder());
        let f = std::fs::read_dir(&d)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|e| e == "safetensors"))
            .unwrap();
        let b = std::fs::read(&f).unwrap();
        let n = u64::from_le_bytes(b[..8].try_into().unwrap()) as usize;
        let h: Value = serde_json::from_slice(&b[8..8 + n]).unwrap();
        let mut m = BTreeMap::new();
        for (k, v) in h.as_object().unwrap() {
            if k == "__metadata__" || k.contains("position_ids") {
                continue;
            }
            let o: Vec<usize> =
                v["data_offsets"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect();
            let s: Vec<usize> = v["shape"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect();
            let dt = match v["dtype"].as_str().unwrap() {
                "F16" => DType::F16,
                "BF16" => DType::Bf16,
                _ => DType::F32,
            };
            let mut t = Tensor::from_bytes(&b[8 + n + o[0]..8 + n + o[1]], dt, &s, device)?;
            if s.len() == 4 {
                t = t.to_channels_last()?;
            }
            m.insert(k.clone(), t);
        }
        Ok(Weights::new(f.display().to_string(), m))
    }
}
