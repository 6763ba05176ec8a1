//! From noise to latents: schedule, sampler, prediction type, guidance and noise are separate things.
