//! Schedulers as the metadata of pictures names them: AUTOMATIC1111's sampler names and schedule types.

use super::SchedulerClass;
use super::SchedulerConfig;
use super::config::{Algorithm, Respacing};

impl SchedulerConfig {
    /// The sampler's name and, where its sigmas are respaced, the schedule type. [`Scheduler`](super::Scheduler) reads
    /// both, joined by a space, back as this scheduler.
    pub fn label(&self) -> (&'static str, Option<&'static str>) {
        let schedule = match self.sigmas.respacing {
            Respacing::Karras => Some("Karras"),
            Respacing::Exponential => Some("Exponential"),
            Respacing::Beta => Some("Beta"),
            // These have no name there.
            Respacing::None | Respacing::Lu => None,
        };
        (self.sampler_label(), schedule)
    }

    fn sampler_label(&self) -> &'static str {
        let algorithm = self.solver.algorithm;
        match self.class() {
            SchedulerClass::Ddim => "DDIM",
            SchedulerClass::Ddpm => "DDPM",
            SchedulerClass::Pndm => "PLMS",
            SchedulerClass::Lms => "LMS",
            SchedulerClass::Euler => "Euler",
            SchedulerClass::EulerAncestral => "Euler a",
            SchedulerClass::Heun => "Heun",
            SchedulerClass::Dpm2 => "DPM2",
            SchedulerClass::Dpm2Ancestral => "DPM2 a",
            SchedulerClass::DpmMultistep if algorithm == Algorithm::DpmPlusPlus => "DPM++ 2M",
            SchedulerClass::DpmMultistep if algorithm == Algorithm::SdeDpmPlusPlus => "DPM++ 2M SDE",
            SchedulerClass::DpmSinglestep if algorithm == Algorithm::DpmPlusPlus => "DPM++ 2S",
            SchedulerClass::DpmSinglestep if algorithm == Algorithm::SdeDpmPlusPlus => "DPM++ SDE",
            SchedulerClass::UniPc => "UniPC",
            SchedulerClass::Deis => "DEIS",
            SchedulerClass::Lcm => "LCM",
            SchedulerClass::Tcd => "TCD",
            // Algorithms without a name of their own: the class carries the model's own one over.
            class => class.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::Scheduler;
    use serde_json::json;

    #[test]
    fn every_label_is_read_back_as_the_same_scheduler() {
        let model = SchedulerConfig::from_json(&json!({ "_class_name": "PNDMScheduler" })).unwrap();
        for name in Scheduler::names().into_iter().filter(|name| !name.contains("flow")) {
            let config = name.parse::<Scheduler>().unwrap().apply(&model).unwrap();
            let (sampler, schedule) = config.label();
            let label = [Some(sampler), schedule].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let again = label.parse::<Scheduler>().unwrap().apply(&model).unwrap();
            assert_eq!((again.class(), again.label()), (config.class(), config.label()), "{name}: {label}");
        }
    }
}
