//! scratch: API that other branches bring
use easel_inference::pipeline::{Image, Parameters};
#[derive(Clone, Debug)]
pub struct Picture {
    pub image: Image,
    pub parameters: Parameters,
    pub seed: u64,
}
