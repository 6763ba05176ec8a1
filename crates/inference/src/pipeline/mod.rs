//! From a request to pictures: the loop around text, models and sampling.
