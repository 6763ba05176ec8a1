//! Samplers and schedulers by AUTOMATIC1111's names: a sampler and the spacing of its sigmas, as two names or joined
//! into one.

use crate::App;
use crate::Error;
use crate::service::{Result, Sampler};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The supported schedulers by name and label. Their names are the suffixes of the service's sampler names.
const SCHEDULES: [(&str, &str); 3] = [("karras", "Karras"), ("exponential", "Exponential"), ("beta", "Beta")];

/// AUTOMATIC1111's other schedulers. For these the sampler uses its default spacing.
const AUTOMATIC: [&str; 14] = [
    "automatic",
    "uniform",
    "polyexponential",
    "sgmuniform",
    "kloptimal",
    "alignyoursteps",
    "alignyourstepsgits",
    "alignyoursteps11",
    "alignyoursteps32",
    "simple",
    "normal",
    "ddim",
    "ddimuniform",
    "turbo",
];

/// A name without case, blanks, hyphens and underscores.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(|c| !matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).collect()
}

/// The service's name for a sampler with a scheduler. `None` leaves the choice to the model.
///
/// # Errors
/// [`Error::SamplerNotFound`], and [`Error::InvalidField`] about `scheduler`.
pub(super) fn choose(samplers: &[Sampler], name: Option<&str>, schedule: Option<&str>) -> Result<Option<String>> {
    let schedule = schedule.map(spacing).transpose()?.flatten();
    let Some(name) = name else { return Ok(None) };
    let wanted = plain(name);
    let named = |wanted: &str| samplers.iter().find(|sampler| is_called(sampler, wanted));
    let joint = || {
        let mut endings = SCHEDULES.iter().map(|(ending, _)| *ending).chain(["sgmuniform"]);
        endings.find_map(|ending| Some((named(wanted.strip_suffix(ending)?)?, spacing(ending).ok()?)))
    };
    let found = named(&wanted).map(|sampler| (sampler, None)).or_else(joint);
    let (sampler, ending) = found.ok_or_else(|| Error::SamplerNotFound { sampler: name.to_owned() })?;
    Ok(Some(match schedule.or(ending).filter(|_| sampler.respaces) {
        Some(ending) => format!("{}-{ending}", sampler.name),
        None => sampler.name.clone(),
    }))
}

fn is_called(sampler: &Sampler, wanted: &str) -> bool {
    [&sampler.label, &sampler.name].into_iter().any(|name| plain(name) == wanted)
}

/// The suffix that stands for a scheduler.
fn spacing(name: &str) -> Result<Option<&'static str>> {
    let wanted = plain(name);
    if AUTOMATIC.contains(&wanted.as_str()) {
        return Ok(None);
    }
    let found = SCHEDULES.iter().find(|(ending, _)| *ending == wanted).map(|(ending, _)| *ending);
    found.map(Some).ok_or_else(|| {
        let names = SCHEDULES.map(|(name, _)| name).join(", ");
        Error::invalid("scheduler", format!("{name:?} is unknown; expected automatic, {names}"))
    })
}

/// A sampler.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebUiSampler)]
pub(crate) struct Entry {
    name: String,
    aliases: Vec<String>,
    #[schema(value_type = Object)]
    options: Value,
}

/// List the samplers.
#[utoipa::path(get, path = "/sdapi/v1/samplers", tag = "sdapi", responses((status = 200, body = Vec<Entry>)))]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Entry>>> {
    let samplers = app.service.samplers().await?;
    let entry = |sampler: Sampler| Entry { aliases: vec![sampler.name], name: sampler.label, options: json!({}) };
    Ok(Json(samplers.into_iter().map(entry).collect()))
}

/// A scheduler.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebUiScheduler)]
pub(crate) struct Schedule {
    name: &'static str,
    label: &'static str,
    aliases: Option<Vec<String>>,
    default_rho: f64,
    need_inner_model: bool,
}

/// List the schedulers.
#[utoipa::path(get, path = "/sdapi/v1/schedulers", tag = "sdapi", responses((status = 200, body = Vec<Schedule>)))]
pub(crate) async fn schedules() -> Json<Vec<Schedule>> {
    let named = [("automatic", "Automatic")].into_iter().chain(SCHEDULES);
    let entry = |(name, label): (&'static str, &'static str)| Schedule {
        name,
        label,
        aliases: None,
        default_rho: if name == "karras" { 7.0 } else { -1.0 },
        need_inner_model: false,
    };
    Json(named.map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: &str, schedule: Option<&str>) -> Result<String, String> {
        let sampler = |name: &str, label: &str, respaces| Sampler { name: name.into(), label: label.into(), respaces };
        let samplers = [
            sampler("euler", "Euler", true),
            sampler("euler-ancestral", "Euler a", false),
            sampler("dpm++2m", "DPM++ 2M", true),
        ];
        choose(&samplers, Some(name), schedule).map(Option::unwrap).map_err(|error| error.to_string())
    }

    #[test]
    fn a_sampler_and_a_scheduler_are_found_apart_and_joined() {
        assert_eq!(chosen("DPM++ 2M", None), Ok("dpm++2m".into()));
        assert_eq!(chosen("DPM++ 2M", Some("Karras")), Ok("dpm++2m-karras".into()));
        assert_eq!(chosen("DPM++ 2M Karras", None), Ok("dpm++2m-karras".into()));
        assert_eq!(chosen("DPM++ 2M Karras", Some("automatic")), Ok("dpm++2m-karras".into()));
        assert_eq!(chosen("DPM++ 2M Karras", Some("exponential")), Ok("dpm++2m-exponential".into()));
        assert_eq!(chosen("DPM++ 2M SGM Uniform", None), Ok("dpm++2m".into()));
        assert_eq!(chosen("euler", Some("normal")), Ok("euler".into()));
        assert_eq!(chosen("Euler a", Some("karras")), Ok("euler-ancestral".into()), "it has no other spacing");
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(
            chosen("Restart", None),
            Err("Sampler not found: \"Restart\"; GET /sdapi/v1/samplers lists them".into())
        );
        assert!(chosen("Euler", Some("magic")).unwrap_err().starts_with("scheduler: \"magic\" is unknown"));
        assert_eq!(choose(&[], None, Some("karras")), Ok(None));
    }
}
