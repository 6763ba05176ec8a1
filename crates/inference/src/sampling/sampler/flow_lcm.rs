//! LCM on a flow: every step goes to the image and adds new noise. Luo et al., <https://arxiv.org/abs/2310.04378>, on
//! the path of Esser et al., <https://arxiv.org/abs/2403.03206>.

use super::super::definition::{Definition, Flows, Name};
use super::flow_euler::{self, FlowEuler};
use serde_json::Value;

pub(super) static DEFINITION: Definition = Definition {
    class_name: "FlowMatchLCMScheduler",
    names: &[Name::new("flow-match-lcm", "FlowMatchLCMScheduler")],
    calls_per_step: 1,
    flows: Flows::Only,
    reads: flow_euler::READS,
    takes: flow_euler::TAKES,
    check: |config| {
        // With it, pictures would grow from step to step.
        config.fields().only("scale_factors", Value::Null)?;
        flow_euler::inverts(config).map(drop)
    },
    build: |setup| Ok(Box::new(FlowEuler::stochastic(setup)?)),
};
