//! The names of samplers in picture metadata: AUTOMATIC1111's sampler names and schedule types.

use super::SchedulerConfig;
use super::config::Respacing;

impl SchedulerConfig {
    /// The sampler's name and, if its sigmas are respaced, the schedule type. [`Scheduler`](super::Scheduler) parses
    /// both, joined by a space, back into this scheduler. Algorithms without a name there get that of the class, with
    /// which the model's own algorithm carries over.
    pub fn label(&self) -> (&'static str, Option<&'static str>) {
        let schedule = match self.sigmas.respacing {
            Respacing::Karras => Some("Karras"),
            Respacing::Exponential => Some("Exponential"),
            Respacing::Beta => Some("Beta"),
            // AUTOMATIC1111 has no name for these.
            Respacing::None | Respacing::Lu => None,
        };
        let definition = self.class().definition();
        let in_use = Some(self.solver.algorithm);
        let mut names = definition.names.iter();
        let name = names.find(|name| name.algorithm.is_none_or(|word| definition.reads.algorithm(word) == in_use));
        (name.map_or(definition.class_name, |name| name.label), schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::{Scheduler, SchedulerClass};
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

    #[test]
    fn every_class_has_a_label_that_is_read_back() {
        for class in SchedulerClass::ALL {
            let config = SchedulerConfig::from_json(&json!({ "_class_name": class.name() })).unwrap();
            assert_eq!(config.label().0.parse::<Scheduler>().unwrap().class(), class);
        }
    }

    #[test]
    fn algorithms_without_a_name_get_that_of_the_class() {
        let json = json!({
            "_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min",
        });
        let config = SchedulerConfig::from_json(&json).unwrap();
        assert_eq!(config.label(), ("DPMSolverMultistepScheduler", None));
    }
}
