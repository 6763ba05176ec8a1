//! Schedulers by name: our names, diffusers' class names, and AUTOMATIC1111's names.

use super::definition::{Flows, Name, RESPACINGS};
use super::{SchedulerClass, SchedulerConfig};
use crate::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::str::FromStr;

/// A scheduler chosen by a user, to be applied to a model's own configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler {
    class: SchedulerClass,
    /// The field `algorithm_type`, if the name implies it.
    algorithm: Option<&'static str>,
    /// The switch of the respacing that the name ends with.
    respacing: Option<&'static str>,
}

/// A sampler to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SamplerName {
    /// What [`Scheduler`] reads.
    pub name: &'static str,
    /// What AUTOMATIC1111 calls it, if it has it.
    pub label: &'static str,
    /// Whether the name may end with `-karras`, `-exponential` or `-beta`.
    pub respaces: bool,
}

/// The ending of a name that turns a respacing on, in the order of [`RESPACINGS`].
const ENDINGS: [&str; RESPACINGS.len()] = ["karras", "exponential", "beta"];

impl Scheduler {
    /// The names to offer. Those with selectable sigmas also take the endings `-exponential` and `-beta`.
    pub fn names() -> Vec<String> {
        let plain = entries().map(|(_, entry)| entry.name.to_owned());
        let respaced = entries().filter(|(class, _)| respaces(*class));
        let mut names: Vec<String> = plain.chain(respaced.map(|(_, entry)| format!("{}-karras", entry.name))).collect();
        names.sort();
        names
    }

    /// The samplers to offer for models that do not match flows, each with its label.
    pub fn samplers() -> Vec<SamplerName> {
        let offered = entries().filter(|(class, _)| class.definition().flows != Flows::Only);
        let named = |(class, entry): (SchedulerClass, &'static Name)| SamplerName {
            name: entry.name,
            label: entry.label,
            respaces: respaces(class),
        };
        offered.map(named).collect()
    }

    /// This scheduler's name among [`Scheduler::names`]; `None` if it is not listed.
    pub fn listed_name(&self) -> Option<String> {
        Self::names().into_iter().find(|name| name.parse().is_ok_and(|known: Self| known == *self))
    }

    /// The class that the name stands for.
    pub fn class(&self) -> SchedulerClass {
        self.class
    }

    /// The model's configuration with this scheduler, as with diffusers'
    /// `XScheduler.from_config(pipe.scheduler.config)`: betas, prediction type and everything else that the class reads
    /// carry over.
    ///
    /// A flow-matching model stays one: `euler` then means the flow-matching Euler method, and the DPM solvers are set
    /// to solve flows. Errors: [`Error::Invalid`] if the scheduler cannot sample this model, and those of
    /// [`SchedulerConfig::from_json`].
    pub fn apply(&self, model: &SchedulerConfig) -> Result<SchedulerConfig> {
        let mut overrides: Vec<(&str, Value)> = Vec::new();
        overrides.extend(self.algorithm.map(|algorithm| ("algorithm_type", json!(algorithm))));
        if let Some(chosen) = self.respacing {
            overrides.extend(RESPACINGS.iter().map(|(field, _)| (*field, json!(*field == chosen))));
        }
        let class = self.class_for(model)?;
        if model.is_flow_only() && class.definition().flows == Flows::Solves {
            overrides.push(("use_flow_sigmas", json!(true)));
            overrides.push(("prediction_type", json!("flow_prediction")));
            overrides.push(("flow_shift", json!(model.flow.shift)));
        }
        model.with_class(class, &overrides)
    }

    /// The class to use with a model of that kind.
    fn class_for(&self, model: &SchedulerConfig) -> Result<SchedulerClass> {
        let refuse = |why: String| Err(Error::invalid("scheduler", format!("{} {why}", self.class.name())));
        match (model.is_flow(), self.class.definition().flows) {
            (true, Flows::As(class)) => Ok(class),
            (true, Flows::Refuses) => {
                let names: Vec<_> = entries()
                    .filter(|(class, _)| class.definition().flows != Flows::Refuses)
                    .map(|(_, entry)| entry.name)
                    .collect();
                refuse(format!("cannot sample a flow-matching model; use one of {}", names.join(", ")))
            }
            (false, Flows::Only) => refuse("samples only flow-matching models".to_owned()),
            _ => Ok(self.class),
        }
    }
}

/// The names of all samplers, each with its class.
fn entries() -> impl Iterator<Item = (SchedulerClass, &'static Name)> {
    SchedulerClass::ALL.into_iter().flat_map(|class| class.definition().names.iter().map(move |name| (class, name)))
}

/// Whether the class reads the switches of [`RESPACINGS`].
fn respaces(class: SchedulerClass) -> bool {
    !class.definition().reads.respacings.is_empty()
}

impl FromStr for Scheduler {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wanted = plain(name);
        if let Some(class) = SchedulerClass::ALL.into_iter().find(|class| plain(class.name()) == wanted) {
            return Ok(Self { class, algorithm: None, respacing: None });
        }
        let endings = ENDINGS.iter().zip(RESPACINGS);
        let ending = endings.filter_map(|(word, (field, _))| Some((wanted.strip_suffix(word)?, Some(*field)))).next();
        let (base, respacing) = ending.unwrap_or((&wanted, None));
        let entry = entries().find(|(_, entry)| [entry.name, entry.label].iter().any(|known| plain(known) == base));
        match entry.filter(|(class, _)| respacing.is_none() || respaces(*class)) {
            Some((class, entry)) => Ok(Self { class, algorithm: entry.algorithm, respacing }),
            None => {
                let reason = format!("expected one of {}, got {name:?}", Self::names().join(", "));
                Err(Error::invalid("scheduler", reason))
            }
        }
    }
}

/// The name without case, spaces, hyphens and underscores: `DPM++ 2M Karras` is `dpm++2mkarras`.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(|c| !matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::PredictionType;

    fn stable_diffusion() -> SchedulerConfig {
        // https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5/blob/main/scheduler/scheduler_config.json
        let json = json!({
            "_class_name": "PNDMScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "beta_start": 0.00085, "clip_sample": false, "num_train_timesteps": 1000, "set_alpha_to_one": false,
            "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null, "prediction_type": "v_prediction",
        });
        SchedulerConfig::from_json(&json).unwrap()
    }

    fn flow() -> SchedulerConfig {
        SchedulerConfig::from_json(&json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})).unwrap()
    }

    #[test]
    fn all_names_are_known_in_any_spelling() {
        for name in Scheduler::names() {
            let upper = name.to_uppercase().replace('-', " ");
            assert_eq!(name.parse::<Scheduler>().unwrap(), upper.parse().unwrap(), "{name}");
            let listed = upper.parse::<Scheduler>().unwrap().listed_name().unwrap();
            assert_eq!(listed.parse::<Scheduler>().unwrap(), name.parse().unwrap(), "{name}");
        }
        for class in SchedulerClass::ALL {
            assert_eq!(class.name().parse::<Scheduler>().unwrap().class(), class);
        }
        let a1111 = "DPM++ 2M SDE Karras".parse::<Scheduler>().unwrap();
        assert_eq!(a1111, "dpm++2m-sde-karras".parse().unwrap());
        assert_eq!("Euler a".parse::<Scheduler>().unwrap().class(), SchedulerClass::EulerAncestral);
        assert_eq!("DPM2 a Karras".parse::<Scheduler>().unwrap().class(), SchedulerClass::Dpm2Ancestral);
    }

    #[test]
    fn every_sampler_that_is_offered_is_read_by_both_of_its_names() {
        let samplers = Scheduler::samplers();
        assert!(samplers.iter().any(|sampler| sampler.label == "Euler a"));
        for SamplerName { name, label, respaces } in samplers {
            let chosen = name.parse::<Scheduler>().unwrap();
            assert_eq!(chosen, label.parse().unwrap(), "{name}");
            assert!(chosen.apply(&stable_diffusion()).is_ok(), "{name}");
            for ending in ENDINGS {
                assert_eq!(format!("{name}-{ending}").parse::<Scheduler>().is_ok(), respaces, "{name}-{ending}");
            }
        }
    }

    /// Two samplers with the same name would hide each other.
    #[test]
    fn names_are_unique() {
        let mut known: Vec<(String, SchedulerClass)> = Vec::new();
        for (class, entry) in entries() {
            for name in [entry.name, entry.label, class.name()].map(plain) {
                assert!(known.iter().all(|(other, owner)| *other != name || *owner == class), "{name}");
                known.push((name, class));
            }
            let chosen = entry.name.parse::<Scheduler>().unwrap();
            assert_eq!((chosen.class(), chosen.algorithm), (class, entry.algorithm), "{}", entry.name);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        for name in ["eulr", "", "ddim-karras", "karras"] {
            let error = name.parse::<Scheduler>().unwrap_err();
            assert!(matches!(error, Error::Invalid { field: "scheduler", .. }));
            assert!(error.to_string().contains("dpm++2m-karras"), "{error}");
        }
    }

    #[test]
    fn the_models_own_fields_carry_over() {
        let config = "euler".parse::<Scheduler>().unwrap().apply(&stable_diffusion()).unwrap();
        assert_eq!(config.prediction_type(), PredictionType::V);
        assert_eq!(config.alphas_cumprod(), stable_diffusion().alphas_cumprod());
        assert_eq!(config.steps_offset, 1.0);
        // PNDM's spacing is its default and not in the file, so Euler's own default applies.
        assert_eq!(config.spacing, super::super::config::Spacing::Linspace);
        let karras = "dpm++2m-karras".parse::<Scheduler>().unwrap().apply(&config).unwrap();
        assert_eq!(karras.sigmas.respacing, super::super::config::Respacing::Karras);
        let back = "pndm".parse::<Scheduler>().unwrap().apply(&karras).unwrap();
        assert!(back.fields().flag("skip_prk_steps", false).unwrap() && !back.final_alpha_one);
    }

    #[test]
    fn flow_models_keep_to_their_path() {
        let euler = "euler".parse::<Scheduler>().unwrap().apply(&flow()).unwrap();
        assert_eq!(euler.class(), SchedulerClass::FlowMatchEuler);
        let solver = "dpm++2m".parse::<Scheduler>().unwrap().apply(&flow()).unwrap();
        assert!(solver.is_flow() && solver.prediction_type() == PredictionType::Flow && solver.flow.shift == 3.0);
        let refused = |name: &str, model| name.parse::<Scheduler>().unwrap().apply(&model);
        assert!(matches!(refused("ddim", flow()), Err(Error::Invalid { field: "scheduler", .. })));
        assert!(matches!(refused("flow-match-euler", stable_diffusion()), Err(Error::Invalid { .. })));
    }
}
